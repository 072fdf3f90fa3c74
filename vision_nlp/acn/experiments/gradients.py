"""Where the gradient goes: over the blocks at the first step, and how much of it is direct (section 2)."""

import math
from collections.abc import Iterator, Mapping
from functools import partial

import torch

from common.claims.harness import Claim, Condition, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, DIRECT, FFN, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.learning import last
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows

ROWS = 256
DOUBLINGS = "doublings from the last to the first block"


def conditions(lab: Lab) -> Mapping[str, Condition]:
    return {kind: partial(_measure, lab, kind) for kind in (ACN, RESIDUAL, CLEAN, FFN)}


def _measure(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    rows = Rows(*(part[:ROWS] for part in lab.splits(seed).train))
    fresh, trained = lab.fresh(kind, seed), lab.trained(kind, seed).model
    norms = block_norms(fresh, rows)
    found = {"first over last, log2": math.log2(norms[0] / norms[-1])}
    found |= {f"block {i}": norm for i, norm in enumerate(norms, 1)}
    if kind == ACN:
        for when, model in (("direct at step 0", fresh), ("direct when trained", trained)):
            alone = lab.fresh(DIRECT, seed)
            alone.load_state_dict(model.state_dict())
            shares = direct_shares(model, alone, rows)
            found |= {f"{when}, block {i}": share for i, share in enumerate(shares, 1)}
    return found


def block_norms(model: AutoCompressing, rows: Rows) -> list[float]:
    """Norm of the loss's gradient by all parameters of block 1..L."""
    model.eval()
    norms = []
    loss = last(model)(rows.x, rows.y)
    for block in model.blocks:
        gradients = torch.autograd.grad(loss, list(block.parameters()), retain_graph=True)
        norms.append(float(torch.cat([g.flatten() for g in gradients]).norm()))
    return norms


def direct_shares(model: AutoCompressing, alone: AutoCompressing, rows: Rows) -> list[float]:
    """DG / FG, norms, of block 1..L; ``alone`` is the same network with the gradient between blocks cut.

    The last block has no other gradient: its share is 1.
    """
    return [d / f for d, f in zip(block_norms(alone, rows), block_norms(model, rows), strict=True)]


def claims() -> Iterator[Claim]:
    ratio = value("first over last, log2")
    yield Claim("at the first step ACN's first block gets twice the gradient of its last", "section 2: layer by layer",
                DOUBLINGS, (ACN, ratio), (ACN, lambda _: 0.0), "none", 1.0)  # fmt: skip
    for rival in (RESIDUAL, CLEAN, FFN):
        yield Claim(f"at the first step ACN's gradient leans more to the first block than that of {rival}",
                    "section 2: L - i + 1 paths, not 2^(L - i) or 1", DOUBLINGS,
                    (ACN, ratio), (rival, ratio), rival)  # fmt: skip


EXPERIMENT = Experiment("gradients", conditions, claims)

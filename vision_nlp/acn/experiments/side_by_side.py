"""Whole networks, cut networks, and networks of the cut's depth from scratch: accuracy and cost in one table.

No claim that ACN compresses is worth more than its row "from scratch": a small network that never was large.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial

from common.claims.harness import Claim, Condition, Figure, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, DENSE, DIRECT, FFN, KINDS, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.latency import parameters
from vision_nlp.acn.experiments.learning import accuracy

POINTS = "points of test accuracy"
SCRATCH = (ACN, RESIDUAL, CLEAN)
"""Wirings of the networks that are trained at the depth of ACN's cut."""
CUTS = (ACN, RESIDUAL, CLEAN)
"""Networks that are cut at a depth of their own."""


def whole(kind: str) -> str:
    return f"{kind}, whole"


def cut(kind: str) -> str:
    return f"{kind}, cut"


def scratch(kind: str) -> str:
    """A network as deep as ACN's cut."""
    return f"{kind}, from scratch at ACN's cut"


def conditions(lab: Lab) -> Mapping[str, Condition]:
    return (
        {whole(kind): partial(_whole, lab, kind) for kind in KINDS}
        | {cut(kind): partial(_cut, lab, kind) for kind in CUTS}
        | {scratch(kind): partial(_scratch, lab, kind) for kind in SCRATCH}
    )


def _whole(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    return _figures(lab, kind, seed, lab.scale.layers, lab.scale.layers)


def _cut(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    return _figures(lab, kind, seed, lab.scale.layers, lab.cut(kind, seed))


def _scratch(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    depth = lab.cut(ACN, seed)
    return _figures(lab, kind, seed, depth, depth)


def _figures(lab: Lab, kind: str, seed: int, layers: int, depth: int) -> dict[str, float]:
    """Of a network trained with ``layers`` blocks and kept to ``depth``."""
    model, learnt = lab.trained(kind, seed, layers)
    kept = model.truncate(depth)
    served = lab.bench.served(ACN if kind == DIRECT else kind, depth)  # they differ in training alone
    return {
        "accuracy": accuracy(kept, lab.splits(seed).test),
        "blocks": float(depth),
        "parameters": float(parameters(kept)),
        "MB": served.megabytes,
        **{f"p50 us, batch {batch}": p50 for batch, p50 in served.p50.items()},
        **{f"speed-up, batch {batch}": speed for batch, speed in served.speed.items()},
        "training s": learnt.seconds,
    }


def claims() -> Iterator[Claim]:
    for rival, paper in ((RESIDUAL, "tables 5 and 6"), (CLEAN, "not in the paper")):
        claim = f"whole ACN costs less than half a point against {rival}"
        yield _between(claim, paper, whole(ACN), whole(rival), -0.5)
    for rival, paper in (
        (RESIDUAL, "table 5: 92.0 against 90.3"),
        (DENSE, "table 5: 92.0 against 90.4"),
        (DIRECT, "ablation: under-performs"),
        (FFN, "ours: the same blocks without the sum"),
    ):
        yield _between(f"whole ACN is more accurate than {rival}", paper, whole(ACN), whole(rival))
    yield _between("cut ACN loses less than half a point", "tables 5 and 6", cut(ACN), whole(ACN), -0.5)
    for kind in SCRATCH:
        claim = f"cut ACN beats {kind} of its depth from scratch"
        yield _between(claim, "the decisive control", cut(ACN), scratch(kind))
    yield _between(f"cut ACN beats cut {CLEAN}", "ours: each at its own depth", cut(ACN), cut(CLEAN))
    for batch in (1, 32):
        figure = _log2(f"speed-up, batch {batch}")
        yield Claim(
            f"cut ACN answers 4/3 times as fast as whole residual, batch {batch}",
            "table 7: 1.5 times; its layers give 4/3",
            "doublings of speed",
            (cut(ACN), figure),
            (whole(RESIDUAL), figure),
            f"{whole(RESIDUAL)}, ONNX Runtime, one thread",
            math.log2(4 / 3),
        )
    yield Claim(
        "an epoch of ACN takes at most 1.1 times one of residual",
        "limits: slower by its number of epochs",
        "seconds of all epochs",
        (whole(RESIDUAL), value("training s", 1.1)),
        (whole(ACN), value("training s")),
        whole(RESIDUAL),
    )


def _between(claim: str, paper: str, method: str, control: str, threshold: float = 0.0) -> Claim:
    right = value("accuracy", 100)
    return Claim(claim, paper, POINTS, (method, right), (control, right), control, threshold)


def _log2(name: str) -> Figure:
    def figure(values: Mapping[str, float]) -> float:
        return math.log2(values[name])

    return figure


EXPERIMENT = Experiment("side by side", conditions, claims)

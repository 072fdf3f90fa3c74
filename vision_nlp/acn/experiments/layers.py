"""Accuracy after every block, the cut, and the epochs it took (tables 5 and 6)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from common.claims.harness import Claim, Condition, Figure, value
from vision_nlp.acn.experiments.lab import (
    ACN,
    CLEAN,
    DENSE,
    DIRECT,
    FFN,
    KINDS,
    PLAIN,
    RESIDUAL,
    TOLERANCE,
    Experiment,
    Lab,
)
from vision_nlp.acn.experiments.learning import right

SHARE = "percent of the blocks"
EPOCHS = "epochs"
FIRST_HALF = "first half"
"""Mean accuracy over sub-networks 1..L/2."""


def conditions(lab: Lab) -> Mapping[str, Condition]:
    """Every kind of network at full depth."""
    return {kind: partial(_measure, lab, kind) for kind in KINDS}


def after(k: int) -> str:
    """The name of a figure: accuracy of sub-network k."""
    return f"after {k}"


def _measure(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    model, learnt = lab.trained(kind, seed)
    shares = right(model, lab.splits(seed).test).mean(1)
    cut = lab.cut(kind, seed)
    return {
        "cut": float(cut),
        "share": cut / model.depth,
        FIRST_HALF: float(shares[1 : model.depth // 2 + 1].mean()),
        "epochs to best": float(reached(learnt.history)),
        **{after(k): float(share) for k, share in enumerate(shares)},
    }


def reached(history: Sequence[float]) -> int:
    """The first epoch, from 1, within half a point of the best validation accuracy of the run."""
    return 1 + int(np.argmax(np.asarray(history) >= max(history) - TOLERANCE / 100 - 1e-9))


def claims() -> Iterator[Claim]:
    share, saved = value("share", 100), _saved
    yield _absolute("ACN leaves out more than a quarter of its blocks", "table 5: 12 of 16", ACN, saved, 25)
    for kind, paper in (
        (RESIDUAL, "table 5: 100 %"),
        (CLEAN, "not in the paper: its residual Mixer has a nonlinear tail"),
        (FFN, "ours: in a chain the head reads the last block alone"),
        (DENSE, "table 5: 100 %"),
    ):
        yield _absolute(f"{kind} needs more than nine tenths of its blocks", paper, kind, share, 90)
    for rival, paper in ((RESIDUAL, "tables 5 and 6"), (CLEAN, "ours: the fair rival")):
        yield _versus(f"ACN needs a smaller share of its blocks than {rival}", paper, SHARE, rival, share, ACN, share)
    yield _versus(
        "of plain layers too, ACN needs a smaller share than residual",
        "section 2: no tail",
        SHARE,
        CLEAN,
        share,
        PLAIN,
        share,
    )
    for rival in (RESIDUAL, CLEAN, FFN):
        yield _versus(
            f"ACN's first half reads out more accurately than that of {rival}",
            "section 2: early layers learn first",
            "points of test accuracy, mean over sub-networks 1..L/2",
            ACN,
            value(FIRST_HALF, 100),
            rival,
            value(FIRST_HALF, 100),
        )
    yield _absolute("trained by the direct gradient alone, ACN still compresses", "ablation", DIRECT, saved, 25)
    took = value("epochs to best")
    yield _versus("ACN takes more epochs than residual", "limits: 1.4 times (Mixer)", EPOCHS, ACN, took, RESIDUAL, took)
    yield _versus(
        "ACN takes at most 1.4 times the epochs of residual",
        "limits: 1.4 times (Mixer)",
        EPOCHS,
        RESIDUAL,
        value("epochs to best", 1.4),
        ACN,
        took,
    )


def _saved(values: Mapping[str, float]) -> float:
    return 100 * (1 - values["share"])


def _absolute(claim: str, paper: str, kind: str, figure: Figure, threshold: float) -> Claim:
    return Claim(claim, paper, SHARE, (kind, figure), (kind, lambda _: 0.0), "none", threshold)


def _versus(claim: str, paper: str, unit: str, method: str, figure: Figure, control: str, other: Figure) -> Claim:
    return Claim(claim, paper, unit, (method, figure), (control, other), control)


EXPERIMENT = Experiment("layers", conditions, claims)

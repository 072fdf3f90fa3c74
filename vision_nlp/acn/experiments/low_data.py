"""Few pictures of each class (100 in the paper, of which it gives loss curves only)."""

from collections.abc import Iterator, Mapping
from functools import partial

from common.claims.harness import Claim, Condition, Figure, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.learning import accuracy, cross_entropy
from vision_nlp.acn.experiments.pictures import few
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Splits

NETWORKS = (ACN, RESIDUAL, CLEAN)
LONGER = 5
"""Times the epochs, as fewer rows make fewer steps."""
CUT, SCRATCH = f"{ACN}, cut", f"{CLEAN}, from scratch at ACN's cut"


def conditions(lab: Lab) -> Mapping[str, Condition]:
    here = lab.limited(partial(_few, each=lab.scale.each), LONGER)
    return {
        **{kind: partial(_whole, here, kind) for kind in NETWORKS},
        CUT: partial(_cut, here),
        SCRATCH: partial(_scratch, here),
    }


def _few(splits: Splits, each: int) -> Splits:
    """The validation rows stay: they choose no weights, only the cut."""
    return splits._replace(train=few(splits.train, each))


def _whole(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    return _figures(lab, lab.trained(kind, seed).model, seed)


def _cut(lab: Lab, seed: int) -> dict[str, float]:
    return _figures(lab, lab.trained(ACN, seed).model.truncate(lab.cut(ACN, seed)), seed)


def _scratch(lab: Lab, seed: int) -> dict[str, float]:
    return _figures(lab, lab.trained(CLEAN, seed, lab.cut(ACN, seed)).model, seed)


def _figures(lab: Lab, model: AutoCompressing, seed: int) -> dict[str, float]:
    splits = lab.splits(seed)
    train, test = cross_entropy(model, splits.train), cross_entropy(model, splits.test)
    return {
        "accuracy": accuracy(model, splits.test),
        "train loss": train,
        "test loss": test,
        "gap": test - train,
        "blocks": float(model.depth),
        "rows": float(len(splits.train.y)),
    }


def claims() -> Iterator[Claim]:
    right, loss, gap = value("accuracy", 100), value("test loss"), value("gap")
    for rival, paper in ((RESIDUAL, "low data: loss curves"), (CLEAN, "not in the paper")):
        yield Claim(f"with few pictures ACN has less test loss than {rival}", paper, "nats",
                    (rival, loss), (ACN, loss), rival)  # fmt: skip
        yield Claim(f"with few pictures ACN's gap between test and train loss is smaller than that of {rival}", paper,
                    "nats", (rival, gap), (ACN, gap), rival)  # fmt: skip
        yield _points(f"with few pictures ACN is more accurate than {rival}", paper, ACN, rival, right)
    yield _points("with few pictures cut ACN beats a network of its depth from scratch", "the decisive control",
                  CUT, SCRATCH, right)  # fmt: skip


def _points(claim: str, paper: str, method: str, control: str, right: Figure) -> Claim:
    return Claim(claim, paper, "points of test accuracy", (method, right), (control, right), control)


EXPERIMENT = Experiment("low data", conditions, claims)

"""Does an easier task need fewer blocks? Two, five and ten classes in equally many epochs (figure 4)."""

from collections.abc import Iterator, Mapping
from functools import partial

from common.claims.harness import Claim, Condition, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.learning import accuracy
from vision_nlp.acn.experiments.pictures import subset

COUNTS = (2, 5, 10)
NETWORKS = (ACN, RESIDUAL)
SHARE, POINTS = "percent of the blocks", "points of test accuracy"


def name(kind: str, count: int) -> str:
    return f"{kind}, {count} classes"


def scratch(count: int) -> str:
    return f"{CLEAN} from scratch at ACN's cut, {count} classes"


def conditions(lab: Lab) -> Mapping[str, Condition]:
    found: dict[str, Condition] = {}
    for count in COUNTS:
        here = lab if count == max(COUNTS) else lab.limited(partial(subset, classes=range(count)))
        found |= {name(kind, count): partial(_whole, here, kind) for kind in NETWORKS}
        found[scratch(count)] = partial(_scratch, here)
    return found


def _whole(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    model, cut, test = lab.trained(kind, seed).model, lab.cut(kind, seed), lab.splits(seed).test
    return {
        "cut": float(cut),
        "share": cut / model.depth,
        "accuracy": accuracy(model, test),
        "accuracy at the cut": accuracy(model, test, upto=cut),
    }


def _scratch(lab: Lab, seed: int) -> dict[str, float]:
    depth = lab.cut(ACN, seed)
    reached = accuracy(lab.trained(CLEAN, seed, depth).model, lab.splits(seed).test)
    return {"cut": float(depth), "share": depth / lab.scale.layers, "accuracy": reached, "accuracy at the cut": reached}


def claims() -> Iterator[Claim]:
    share, at_cut = value("share", 100), value("accuracy at the cut", 100)
    for more, fewer in ((5, 2), (10, 5), (10, 2)):
        yield Claim(
            f"ACN needs more blocks for {more} classes than for {fewer}",
            "figure 4: 8, 10 and 12 of 16 for 2, 5 and 10",
            SHARE,
            (name(ACN, more), share),
            (name(ACN, fewer), share),
            name(ACN, fewer),
        )
    yield Claim(
        "residual needs more than nine tenths of its blocks for 2 classes too",
        "figure 4: always all 16",
        SHARE,
        (name(RESIDUAL, 2), share),
        (name(RESIDUAL, 2), lambda _: 0.0),
        "none",
        90,
    )
    for count in COUNTS[:-1]:
        yield Claim(
            f"cut ACN beats a network of its depth from scratch on {count} classes",
            "the decisive control",
            POINTS,
            (name(ACN, count), at_cut),
            (scratch(count), at_cut),
            scratch(count),
        )


EXPERIMENT = Experiment("difficulty", conditions, claims)

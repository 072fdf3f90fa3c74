"""Half of the classes are learnt first, then the network is tuned on the other half with a new head (table 4).

All weights are tuned, by the plain loss; the paper does not say whether it tunes or probes.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import cache, partial
from typing import NamedTuple

from torch import nn

from common.claims.harness import Claim, Condition, value
from common.training import seeding
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, Experiment, Lab, cut_of
from vision_nlp.acn.experiments.learning import TUNE_RATE, accuracy, all_layers, last, learn
from vision_nlp.acn.experiments.pictures import subset
from vision_nlp.acn.wiring import AutoCompressing

ALIGNED = "residual, losses at all layers (Aligned)"
NOTHING = f"{ACN}, without the first half"
SHALLOW = f"{CLEAN}, at ACN's cut from the start"
POINTS = "points of test accuracy on the other half"


class Halves:
    """The two tasks, and what was learnt of them."""

    def __init__(self, lab: Lab) -> None:
        classes = len(lab.images.known.labels)
        self.source = lab.limited(partial(subset, classes=range(classes // 2)))
        self.target = lab.limited(partial(subset, classes=range(classes // 2, classes)))
        self._epochs = lab.scale.tune
        self.tuned = cache(self._tuned)

    def _tuned(self, name: str, seed: int) -> "Tuned":
        start, splits = self._start(name, seed), self.target.splits(seed)
        model = copy.deepcopy(start)
        seeding.seed_all(seed)
        model.head = nn.Linear(self.target.scale.width, self.target.classes(seed))
        learn(model, last(model), splits.train, self._epochs, seed, rate=TUNE_RATE)
        return Tuned(
            before=accuracy(start, self.source.splits(seed).test),
            after=accuracy(model, splits.test),
            cut=cut_of(model, splits.validation),
            blocks=model.depth,
        )

    def _start(self, name: str, seed: int) -> AutoCompressing:
        if name == NOTHING:
            return self.source.fresh(ACN, seed)
        if name == SHALLOW:
            return self.source.trained(CLEAN, seed, self.tuned(ACN, seed).cut).model
        if name == ALIGNED:
            model, rows = self.source.fresh(RESIDUAL, seed), self.source.splits(seed).train
            learn(model, all_layers(model), rows, self.source.scale.epochs, seed)
            return model
        return self.source.trained(name, seed).model


class Tuned(NamedTuple):
    before: float
    """Test accuracy on the first half, before tuning."""
    after: float
    """On the other half."""
    cut: int
    blocks: int


def conditions(lab: Lab) -> Mapping[str, Condition]:
    halves = Halves(lab)
    return {name: partial(_measure, halves, name) for name in (ACN, RESIDUAL, CLEAN, ALIGNED, NOTHING, SHALLOW)}


def _measure(halves: Halves, name: str, seed: int) -> dict[str, float]:
    found = halves.tuned(name, seed)
    return {"first half": found.before, "accuracy": found.after, "cut": float(found.cut), "blocks": float(found.blocks)}


def claims() -> Iterator[Claim]:
    yield _claim("ACN transfers better than residual", "table 4 has no such row", RESIDUAL)
    yield _claim("ACN transfers better than clean residual", "not in the paper", CLEAN)
    yield _claim("ACN transfers better than Aligned", "table 4: 85.4 against 82.9", ALIGNED)
    yield _claim("what ACN learnt first helps", "control: no first half", NOTHING)
    yield _claim("ACN transfers better than a network of its cut's depth", "the decisive control", SHALLOW)


def _claim(claim: str, paper: str, control: str) -> Claim:
    right = value("accuracy", 100)
    return Claim(claim, paper, POINTS, (ACN, right), (control, right), control)


EXPERIMENT = Experiment("transfer", conditions, claims)

"""Pruning: at once by magnitude, and step by step with an epoch of tuning after each (section on pruning, SST-2)."""

import copy
from collections.abc import Iterator, Mapping
from functools import partial

from common.claims.harness import Claim, Condition, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.learning import TUNE_RATE, accuracy, last, learn
from vision_nlp.acn.experiments.masks import Masks, Score

AT_ONCE = (0.3, 0.5, 0.7, 0.8, 0.9)
"""Shares of the weights that go without any tuning."""
STEPS: tuple[tuple[Score, float], ...] = (("movement", 0.2), ("movement", 0.4), ("magnitude", 0.4))
"""Score, and the share of the remaining weights that goes after each epoch (settings I and II of the paper)."""
TO_SIZE = STEPS[1]
"""What prunes a network to the size of its cut."""
NETWORKS = (ACN, RESIDUAL, CLEAN)
SCRATCH = f"{CLEAN}, from scratch at ACN's cut"
AT_CUT = "at the size of its cut"
POINTS = "points of test accuracy"


def at_once(share: float) -> str:
    """The name of a figure."""
    return f"at once, {share:.0%} gone"


def stepwise(score: Score, each: float, steps: int) -> str:
    """The name of a figure."""
    return f"{score} {each:.0%} each, {1 - (1 - each) ** steps:.0%} gone"


def mean(score: Score, each: float) -> str:
    """The name of a figure: over all steps that pruned."""
    return f"{score} {each:.0%} each, mean"


def conditions(lab: Lab) -> Mapping[str, Condition]:
    return {kind: partial(_measure, lab, kind) for kind in NETWORKS} | {SCRATCH: partial(_scratch, lab)}


def _measure(lab: Lab, kind: str, seed: int) -> dict[str, float]:
    left = lab.cut(kind, seed) / lab.scale.layers
    found = {"cut": accuracy(lab.trained(kind, seed).model, lab.splits(seed).test, lab.cut(kind, seed))}
    found |= {at_once(share): _at_once(lab, kind, seed, share) for share in AT_ONCE}
    for score, each in STEPS:
        curve = _stepwise(lab, kind, seed, score, each)
        found |= {stepwise(score, each, steps): reached for steps, reached in enumerate(curve)}
        found[mean(score, each)] = sum(curve[1:]) / len(curve[1:])
        if (score, each) == TO_SIZE:
            found[AT_CUT] = curve[next((s for s in range(len(curve)) if (1 - each) ** s <= left), -1)]
    return found


def _scratch(lab: Lab, seed: int) -> dict[str, float]:
    """As many weights as a pruned network, all in use; nothing of it is pruned or tuned."""
    model = lab.trained(CLEAN, seed, lab.cut(ACN, seed)).model
    return {AT_CUT: accuracy(model, lab.splits(seed).test)}


def _at_once(lab: Lab, kind: str, seed: int, share: float) -> float:
    model = copy.deepcopy(lab.trained(kind, seed).model)
    Masks(model, "magnitude").prune(share)
    return accuracy(model, lab.splits(seed).test)


def _stepwise(lab: Lab, kind: str, seed: int, score: Score, each: float) -> tuple[float, ...]:
    """Test accuracy after 0, 1, ... prunings and an epoch of tuning each."""
    model, splits = copy.deepcopy(lab.trained(kind, seed).model), lab.splits(seed)
    masks = Masks(model, score)

    def ask() -> float:
        reached = accuracy(model, splits.test)
        masks.prune(each)
        return reached

    epochs = 1 + lab.scale.tune
    return learn(model, last(model), splits.train, epochs, seed, rate=TUNE_RATE, hooks=masks.hooks, ask=ask).history


def claims() -> Iterator[Claim]:
    for rival in (RESIDUAL, CLEAN):
        paper = "pruning: AC-BERT withstands it better" if rival == RESIDUAL else "not in the paper"
        for share in (0.5, 0.8):
            yield _claim(f"with {share:.0%} of the weights gone at once, ACN is more accurate than {rival}",
                         paper, ACN, rival, at_once(share))  # fmt: skip
        for score, each in STEPS:
            yield _claim(f"pruned by {score}, {each:.0%} after each epoch, ACN is more accurate than {rival}",
                         paper, ACN, rival, mean(score, each))  # fmt: skip
    yield _claim("pruned to the size of its cut, ACN beats a network of that depth from scratch",
                 "the decisive control", ACN, SCRATCH, AT_CUT)  # fmt: skip
    yield Claim("cutting ACN costs less than pruning it to the same size", "ours: which of the two", POINTS,
                (ACN, value("cut", 100)), (ACN, value(AT_CUT, 100)), "the same network, pruned")  # fmt: skip


def _claim(claim: str, paper: str, method: str, control: str, figure: str) -> Claim:
    return Claim(claim, paper, POINTS, (method, value(figure, 100)), (control, value(figure, 100)), control)


EXPERIMENT = Experiment("pruning", conditions, claims)

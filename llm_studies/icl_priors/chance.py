"""What a similarity is worth: the levels that need no model, and the share above chance (specification, section 4).

JS counts two empty sets as alike, so where most items are empty it is high for whoever says nothing: on HS-Brexit's
aggregate, always "none" reaches 0.762. These levels stand beside every JS that a report prints.
"""

from typing import NamedTuple

import numpy as np

from common.claims.similarity import item_parts, measures

SHUFFLES = 200


class Level(NamedTuple):
    """A trivial predictor against a truth."""

    name: str
    js: float
    micro_f1: float
    macro_f1: float


def trivial_levels(truth: np.ndarray, *, seed: int = 0, shuffles: int = SHUFFLES) -> tuple[Level, ...]:
    """Always none, all labels, the truth of another item, a random subset of uniform size; truth (items, labels).

    The last two are means over ``shuffles`` draws.
    """
    rng = np.random.default_rng(seed)
    draws = [random_subsets(truth.shape[0], truth.shape[1], rng) for _ in range(shuffles)]
    return (
        _level("always none", np.zeros_like(truth)[None], truth),
        _level("all labels", np.ones_like(truth)[None], truth),
        Level("shuffled gold", *chance_level(truth, truth, seed=seed, shuffles=shuffles)),
        _level("random subset", np.stack(draws), truth),
    )


def random_subsets(items: int, labels: int, rng: np.random.Generator) -> np.ndarray:
    """Bool (items, labels): a size drawn from 0 .. labels, then a subset of that size (the papers' ``random``)."""
    size = rng.integers(labels + 1, size=(items, 1))
    return rng.random((items, labels)).argsort(1).argsort(1) < size


def chance_level(
    a: np.ndarray, b: np.ndarray, *, seed: int = 0, shuffles: int = SHUFFLES
) -> tuple[float, float, float]:
    """Mean similarity of ``a`` with ``b`` of another item, in the order of MEASURES: both label laws, no relation."""
    rng = np.random.default_rng(seed)
    found = [_measured(a, b[rng.permutation(len(b))]) for _ in range(shuffles)]
    js, micro_f1, macro_f1 = np.mean(found, axis=0).tolist()
    return js, micro_f1, macro_f1


def chance_corrected(similarity: float, chance: float) -> float | None:
    """(s - s_shuffled) / (1 - s_shuffled): 0 at chance, 1 when equal. None where chance is already perfect."""
    return None if chance >= 1 else (similarity - chance) / (1 - chance)


def _level(name: str, predictions: np.ndarray, truth: np.ndarray) -> Level:
    return Level(name, *np.mean([_measured(prediction, truth) for prediction in predictions], axis=0).tolist())


def _measured(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return measures(item_parts(a, b).sum(0), len(a))

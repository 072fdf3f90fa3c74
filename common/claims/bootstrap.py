"""Bootstrap over items, the same draws for every condition, with seeds as a second level (specification, section 8.4).

Three seeds are no sample of items: an interval over items says what other texts would have given, one over both also
what other demonstrations would have. Because the draws are shared, the difference of two conditions is the difference
of their rounds.
"""

from collections.abc import Sequence

import numpy as np

from common.claims.similarity import item_parts, measures
from contracts.models import Interval

ROUNDS = 10_000
CHUNK = 1_000_000
"""Draws at a time: they take 20 bytes each while they are counted, and the counts 4."""


def item_weights(items: int, rounds: int = ROUNDS, *, seed: int = 0) -> np.ndarray:
    """How often each item is drawn in each round; float32 (rounds, items), every row sums to ``items``.

    Drawn once and handed to every condition.
    """
    rng, weights = np.random.default_rng(seed), np.empty((rounds, items), np.float32)
    step = max(1, CHUNK // items)
    for start in range(0, rounds, step):  # one stream of draws, whatever the step
        part = weights[start : start + step]
        cells = rng.integers(items, size=part.shape, dtype=np.int32) + items * np.arange(len(part))[:, None]
        part[:] = np.bincount(cells.ravel(), minlength=part.size).reshape(part.shape)
    return weights


def paired_rounds(left: Sequence[np.ndarray], right: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Every measure of every cross pair of runs in every round: (rounds, left runs, right runs, MEASURES).

    Runs are bool (items, labels). The mean over axes 1 and 2 is the item level alone. Raises Invalid for other shapes.
    """
    items = weights.shape[1]
    found = [[measures(weights @ item_parts(a, b).astype(np.float32), items) for b in right] for a in left]
    return np.array(found).transpose(2, 0, 1, 3)


def seed_rounds(pairs: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Second level: each round of ``paired_rounds`` also draws its runs of both sides; (rounds, MEASURES)."""
    rounds, left, right, _ = pairs.shape
    rng = np.random.default_rng(seed)
    a, b = (item_weights(runs, rounds, seed=int(rng.integers(2**32))) / runs for runs in (left, right))
    return np.einsum("rl,rk,rlkm->rm", a, b, pairs)


def percentile(values: np.ndarray, *, level: float = 0.95) -> Interval:
    """Two-sided percentile interval of one figure's rounds (rounds,); rounds that are not numbers are left out."""
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)

"""How many blocks may go: the smallest sub-network about as accurate as the whole. numpy only.

Chosen on validation rows and never on test rows.
"""

from typing import NamedTuple

import numpy as np

from contracts.models import Interval

TOLERANCES = (0.1, 0.5, 1.0)
"""Points of accuracy for which a cut is always reported."""
ROUNDS = 10_000


class Cut(NamedTuple):
    depth: int
    """Blocks that stay (k)."""
    tolerance: float
    """Points of accuracy that might be lost."""
    difference: Interval
    """Of acc(k) - acc(L) as shares of 1, by the paired bootstrap."""


def choose_cut(right: np.ndarray, tolerance: float, seed: int = 0) -> Cut:
    """The smallest k >= 1 with acc(k) >= acc(L) - ``tolerance`` points.

    ``right`` is bool (L + 1, n): whether sub-network k, from 0 on, labels row j right. ``seed`` draws the bootstrap.
    The published rule gives no tolerance ("comparable performance"). Raises ValueError without a block or a row.
    """
    if right.ndim != 2 or len(right) < 2 or not right.shape[1]:
        raise ValueError(f"a cut needs one block and one row at least, got shape {right.shape}")
    # Compared as counts of rows, so that no rounding of shares decides.
    counts = right.sum(1)
    enough = counts[1:] >= counts[-1] - tolerance / 100 * right.shape[1] - 1e-9
    depth = 1 + int(np.argmax(enough))
    return Cut(depth, tolerance, paired_bootstrap(right[depth], right[-1], seed))


def paired_bootstrap(one: np.ndarray, other: np.ndarray, seed: int, level: float = 0.95) -> Interval:
    """Percentile interval of mean(one) - mean(other), both bool (n,), over resampled rows.

    A resample only decides how many rows of each kind of difference, -1, 0 and 1, there are: it is one multinomial draw
    and needs no (rounds, n) indices.
    """
    n = len(one)
    lost, won = int((other & ~one).sum()), int((one & ~other).sum())
    drawn = np.random.default_rng(seed).multinomial(n, [lost / n, (n - lost - won) / n, won / n], size=ROUNDS)
    low, high = np.quantile((drawn[:, 2] - drawn[:, 0]) / n, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), level=level)

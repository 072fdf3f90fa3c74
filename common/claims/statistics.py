"""Intervals and tests for paired differences of few seeds. numpy and the standard library only.

Which interval: with fewer than ``ENOUGH`` pairs a bootstrap sees too few distinct values and covers far less than it
says, so ``interval`` is Student's t there (it assumes near-normal differences) and BCa bootstrap from there on. Both
are computed on the *differences*, so what a seed does to both conditions cancels.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from contracts.models import Interval

ENOUGH = 10
"""Pairs from which the bootstrap replaces Student's t."""
EXACT = 16
"""Up to this many pairs all ``2**n`` sign patterns are enumerated; above, they are drawn."""
_NORMAL = NormalDist()


def interval(
    differences: np.ndarray, rng: np.random.Generator, *, level: float = 0.95, rounds: int = 10_000
) -> Interval:
    """Two-sided interval of the mean of ``differences`` (n,), n >= 2, by the rule above."""
    if len(differences) < ENOUGH:
        return student_interval(differences, level=level)
    return bootstrap_interval(differences, rng, level=level, rounds=rounds)


def student_interval(differences: np.ndarray, *, level: float = 0.95) -> Interval:
    """Paired t interval: mean +- t(n-1) * sd / sqrt(n). Raises ValueError for fewer than two pairs."""
    values = _pairs(differences)
    half = student_quantile((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(low=float(values.mean() - half), high=float(values.mean() + half), level=level)


def bootstrap_interval(
    differences: np.ndarray, rng: np.random.Generator, *, level: float = 0.95, rounds: int = 10_000
) -> Interval:
    """BCa bootstrap interval of the mean (Efron 1987): bias corrected by the share of resampled means below the
    observed one, accelerated by the jackknife skewness. Equal differences give an interval of width zero.

    Raises ValueError for fewer than two pairs.
    """
    values = _pairs(differences)
    mean, n = values.mean(), len(values)
    if np.ptp(values) == 0:
        return Interval(low=float(mean), high=float(mean), level=level)
    means = np.sort(values[rng.integers(n, size=(rounds, n))].mean(1))
    # Ties count half, and the share stays off 0 and 1, where the normal quantile is infinite.
    below = (np.sum(means < mean) + np.sum(means <= mean)) / (2 * rounds)
    bias = _NORMAL.inv_cdf(float(np.clip(below, 0.5 / rounds, 1 - 0.5 / rounds)))
    leave_one_out = mean - (n * mean - values) / (n - 1)
    acceleration = np.sum(leave_one_out**3) / (6 * np.sum(leave_one_out**2) ** 1.5)
    z = [_NORMAL.inv_cdf(q) for q in ((1 - level) / 2, (1 + level) / 2)]
    shares = [_NORMAL.cdf(float(bias + (bias + q) / (1 - acceleration * (bias + q)))) for q in z]
    low, high = np.quantile(means, shares)
    return Interval(low=float(low), high=float(high), level=level)


def sign_flip_p(differences: np.ndarray, rng: np.random.Generator, *, rounds: int = 10_000) -> float:
    """Two-sided p-value of the paired permutation test: under the null, each difference may have the other sign.

    Exact for n <= ``EXACT`` (its smallest value is then ``2 / 2**n``); above, Monte-Carlo with the +1 of Phipson and
    Smyth (2010), so it is never zero. Raises ValueError for an empty input.
    """
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("no differences")
    observed = abs(values.sum()) * (1 - 1e-12)  # equal sums in another order of addition still count as equal
    if n <= EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float(np.mean(np.abs(signs @ values) >= observed))
    signs = rng.choice((-1.0, 1.0), size=(rounds, n))
    return float((np.sum(np.abs(signs @ values) >= observed) + 1) / (rounds + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979) in the given order: controls the chance of any false rejection."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted


def wilson_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval (1927) of a proportion, such as an accuracy on ``n`` items.

    Raises ValueError unless ``0 <= successes <= n`` and ``n >= 1``.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    z, p = _NORMAL.inv_cdf((1 + level) / 2), successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the bound is exact; rounding must not put the proportion outside its own interval.
    return Interval(low=min(p, max(0.0, centre - half)), high=max(p, min(1.0, centre + half)), level=level)


def student_cdf(t: float, freedom: int) -> float:
    """P(T <= t) for Student's t with an integer number of degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    angle = math.atan2(t, math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2 == 1
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    if freedom == 1:
        total = 0.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    two_sided = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + two_sided) / 2


def student_quantile(share: float, freedom: int) -> float:
    """Inverse of ``student_cdf`` for 0 < share < 1, by bisection to 1e-12 relative."""
    if share < 0.5:
        return -student_quantile(1 - share, freedom)
    low, high = 0.0, 1.0
    while student_cdf(high, freedom) < share:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if student_cdf(middle, freedom) < share else (low, middle)
    return high


def _pairs(differences: np.ndarray) -> np.ndarray:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval needs at least two pairs, got shape {values.shape}")
    return values

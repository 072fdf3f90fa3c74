"""The latent prior behind noisy prior runs, by expectation maximisation on counts (specification, section 8.3).

A cell is one label of one item. z is the label that the model holds a priori, t the truth:

    P(z=1 | t) = rate_t        P(prior=0 | z=1) = miss        P(prior=1 | z=0) = false_alarm
    P(posterior=1 | z, t) = follow_tz        kappa_t = follow_t1 - follow_t0

Runs of one kind are exchangeable, so a cell tells no more than (t, positive priors k, positive posteriors j), and a
whole study is one table of counts (2, R + 1, S + 1), however many items it has. Everything here works on a batch of
tables: the labels and the bootstrap rounds are fitted together.

The fit has two steps. The prior's noise is learnt from prior runs alone (three are needed: fewer leave it open), then
``follow`` from each posterior run given that noise. A joint fit is as precise while posterior runs are independent
given z and t, but they rarely are, as all of them read the same text: where all copy on the same cells, a joint fit
takes the posteriors' agreement for the latent prior and finds 0.98 for a kappa of 0.5. Here each posterior run is
weighed alone, so their dependence cannot enter; and the second likelihood is concave: no local optimum, no start.
"""

from collections.abc import Callable, Sequence
from math import comb
from typing import NamedTuple

import numpy as np

TOLERANCE = 1e-7
"""Largest change of a parameter at which a fit has converged."""
COARSE = 1e-5
"""The same for bootstrap rounds, whose spread is far larger."""
SAME = 1e-3
"""Difference of the classes' rates of positives below which there is one class."""
OPEN = 0.5
"""Variance of z, in cells, that the prior runs must reveal: below, not even one cell shows a prior beside the truth."""
LIMIT = 5_000
"""Steps at most; on the border (no noise, no prior) the likelihood is flat and waiting longer changes nothing."""


Starts = Sequence[tuple[float, float]] | np.ndarray
"""Pairs (miss, false alarm) tried on every table; or of each table its own, (starts, B, 2)."""


class Noise(NamedTuple):
    """What prior runs tell of the latent prior, for a batch of B tables. z=1 is the class with more positive runs."""

    rate: np.ndarray
    """P(z=1 | t), (B, 2); 0 where the stratum is empty."""
    miss: np.ndarray
    """eps1, (B,)."""
    false_alarm: np.ndarray
    """eps0, (B,)."""
    believed: np.ndarray
    """P(z=1 | t, k), (B, 2, R + 1)."""
    log_likelihood: np.ndarray
    """(B,), in nats, of the prior runs given the truth."""
    iterations: np.ndarray
    """(B,)"""


class Fit(NamedTuple):
    """Both steps, for a batch of B tables."""

    noise: Noise
    follow: np.ndarray
    """P(posterior=1 | t, z), (B, 2, 2) in the order (t, z)."""
    kappa: np.ndarray
    """(B,), weighted over t by var(z); not a number where the prior runs show no variance of z within t."""
    reliability: np.ndarray
    """Share of var(z | t) that the prior runs reveal, (B,): 1 without noise; near 0 kappa rests on nothing."""
    log_likelihood: np.ndarray
    """(B,), in nats, of prior and posterior runs, each posterior run weighed alone."""
    iterations: np.ndarray
    """(B,), of both steps."""


STARTS = ((0.05, 0.05), (0.3, 0.05), (0.05, 0.3), (0.3, 0.3))
"""(miss, false alarm) from which the first step sets out; the best end is kept."""


def fit(tables: np.ndarray, starts: Starts = STARTS, *, tolerance: float = TOLERANCE) -> Fit:
    """Fit every table of counts (B, 2, R + 1, S + 1), R >= 3, S >= 1."""
    posteriors = tables.shape[3] - 1
    j = np.arange(posteriors + 1)
    noise = fit_noise(tables.sum(3), starts, tolerance=tolerance)
    # Each posterior run alone: j of S positive is j positive and S - j negative observations of the same k and t.
    positive, negative = (tables * j).sum(3), (tables * (posteriors - j)).sum(3)
    halves = np.full((len(tables), 2, 2), 0.5)
    follow, steps = _settle(_follow_step, (noise.believed, positive, negative), halves, tolerance)
    chance = noise.believed * follow[..., 1:] + (1 - noise.believed) * follow[..., :1]
    weight = tables.sum((2, 3)) * noise.rate * (1 - noise.rate)
    revealed = (tables.sum(3) * (noise.believed - noise.rate[..., None]) ** 2).sum((1, 2))
    # kappa = P(post=1 | z=1, t) - P(post=1 | z=0, t), weighted by var(z).
    kappa = _ratio((weight * (follow[..., 1] - follow[..., 0])).sum(1), weight.sum(1), np.nan)
    return Fit(
        noise=noise,
        follow=follow,
        kappa=np.where(revealed < OPEN, np.nan, kappa),
        reliability=_ratio(revealed, weight.sum(1), 0.0).clip(0.0, 1.0),
        log_likelihood=noise.log_likelihood + _log_likelihood(positive, chance) + _log_likelihood(negative, 1 - chance),
        iterations=noise.iterations + steps,
    )


def fit_noise(counts: np.ndarray, starts: Starts = STARTS, *, tolerance: float = TOLERANCE) -> Noise:
    """First step, on counts of prior positives alone (B, 2, R + 1): the most likely end of all starts."""
    rows = len(counts)
    tried = np.asarray(starts, dtype=np.float64)
    tried = np.broadcast_to(tried if tried.ndim == 3 else tried[:, None], (len(tried), rows, 2))
    ends = _climb(np.tile(counts, (len(tried), 1, 1)), tried.reshape(-1, 2), tolerance)
    best = ends.log_likelihood.reshape(len(tried), rows).argmax(0) * rows + np.arange(rows)
    return Noise(*(values[best] for values in ends))


def prior_chances(miss: np.ndarray, false_alarm: np.ndarray, runs: int) -> np.ndarray:
    """P(k of R prior runs positive | z), (B, 2, R + 1)."""
    return np.stack([binomial(false_alarm, runs), binomial(1 - miss, runs)], axis=1)


def binomial(p: np.ndarray, runs: int) -> np.ndarray:
    """P(k of ``runs``) for k = 0 .. runs, on a new last axis; exact at p = 0 and 1 (0 ** 0 = 1)."""
    k = np.arange(runs + 1)
    return np.array([comb(runs, i) for i in k]) * p[..., None] ** k * (1 - p[..., None]) ** (runs - k)


def _climb(counts: np.ndarray, start: np.ndarray, tolerance: float) -> Noise:
    """To the top that is nearest to ``start`` (B, 2): miss, false alarm."""
    runs = counts.shape[2] - 1
    start = np.concatenate([np.tile([0.3, 0.6], (len(counts), 1)), start], axis=1)
    found, steps = _settle(_noise_step, (counts,), start, tolerance)
    rate, e1, e0 = found[:, :2], found[:, 2], found[:, 3]
    # Label switching: the class that is more often positive is z=1.
    swap = e1 + e0 > 1
    rate = np.where(swap[:, None], 1 - rate, rate)
    e1, e0 = np.where(swap, 1 - e0, e1), np.where(swap, 1 - e1, e0)
    # Two classes with one and the same rate of positives are one class: z is always the commoner bit.
    same = 1 - e1 - e0 < SAME
    rate = np.where(same[:, None], np.round(e0)[:, None], rate)
    chance = np.einsum("zbt,bzk->btk", np.stack([1 - rate, rate]), prior_chances(e1, e0, runs))
    return Noise(rate, e1, e0, _believe(rate, e1, e0, runs), _log_likelihood(counts, chance), steps)


def _noise_step(parameters: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """EM of the first step; parameters (B, 4): rate_0, rate_1, miss, false alarm."""
    runs = counts.shape[2] - 1
    k = np.arange(runs + 1)
    believed = _believe(parameters[:, :2], parameters[:, 2], parameters[:, 3], runs)
    on, off = counts * believed, counts * (1 - believed)
    rate = _ratio(on.sum(2), counts.sum(2), 0.0)
    miss = _ratio((on * (runs - k)).sum((1, 2)), runs * on.sum((1, 2)), 0.0)
    false_alarm = _ratio((off * k).sum((1, 2)), runs * off.sum((1, 2)), 0.0)
    return np.column_stack([rate, miss, false_alarm])


def _believe(rate: np.ndarray, miss: np.ndarray, false_alarm: np.ndarray, runs: int) -> np.ndarray:
    """P(z=1 | t, k) by Bayes' rule."""
    chances = prior_chances(miss, false_alarm, runs)
    on, off = rate[..., None] * chances[:, None, 1], (1 - rate[..., None]) * chances[:, None, 0]
    return _ratio(on, on + off, 0.5)


def _follow_step(follow: np.ndarray, believed: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """EM of the second step: follow (B, 2, 2) from posterior positives and negatives per (t, k), each (B, 2, R + 1)."""
    off, on = follow[..., :1], follow[..., 1:]
    chance = believed * on + (1 - believed) * off
    # How much of the positive, and of the negative, replies of a cell are those of z=1.
    on_yes = positive * _ratio(believed * on, chance, 0.0)
    on_no = negative * _ratio(believed * (1 - on), 1 - chance, 0.0)
    yes = np.stack([(positive - on_yes).sum(2), on_yes.sum(2)], axis=2)
    no = np.stack([(negative - on_no).sum(2), on_no.sum(2)], axis=2)
    return _ratio(yes, yes + no, 0.5)


def _settle(
    step: Callable[..., np.ndarray], data: tuple[np.ndarray, ...], start: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat ``step`` on each row of the batch until that row rests; the parameters and the steps that each took."""
    found, steps = start.copy(), np.full(len(start), LIMIT)
    moving = np.arange(len(start))
    for count in range(1, LIMIT + 1):
        new = step(found[moving], *(part[moving] for part in data))
        resting = np.abs(new - found[moving]).reshape(len(moving), -1).max(1) < tolerance
        found[moving] = new
        steps[moving[resting]] = count
        moving = moving[~resting]
        if not len(moving):
            break
    return found, steps


def _log_likelihood(counts: np.ndarray, chance: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, counts * np.log(np.maximum(chance, 1e-300)), 0.0).sum((1, 2))


def _ratio(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), otherwise), where=np.asarray(whole) > 0)

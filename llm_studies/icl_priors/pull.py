"""How strongly prompts leave a model at its prior: kappa, apart from how noisy and how right the prior is.

Specification, section 8.3. The model, per cell (item x label): with probability kappa the posterior copies the latent
prior bit, otherwise it follows the demonstrations; each prior run is a noisy copy of the latent bit. The assumption
that no data of this kind can test: given the latent bit, whether a cell is copied does not depend on the truth, and the
prior runs err independently of one another and of the posteriors. Posterior runs need not be mutually independent.

Not told apart by any data: kappa where the prior never differs within a truth stratum (reported as None), and kappa
where prior runs agree no more than by chance (``reliability`` near 0: read the interval).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.claims.bootstrap import item_weights, percentile
from common.errors import Invalid
from contracts.models import Interval
from llm_studies.icl_priors import latent
from llm_studies.icl_priors.predictive import Check, check

PRIOR_RUNS = 3
"""Fewer noisy copies leave miss rate, false alarms and prevalence undetermined."""


class Estimate(NamedTuple):
    """Of all cells or of one label. None: the data leave it open."""

    label: str
    """Empty for all labels together."""
    kappa: float | None
    kappa_interval: Interval | None
    """Percentile bootstrap over items."""
    kappa_naive: float | None
    """P(posterior = prior | prior != truth): attenuated by the prior's noise."""
    kappa_slope: float | None
    """Slope of posterior on prior within truth strata: attenuated likewise."""
    eps1: float | None
    """Miss rate of a prior run; None where the latent prior is never on."""
    eps1_interval: Interval | None
    eps0: float | None
    """False-alarm rate of a prior run; None where the latent prior is always on."""
    eps0_interval: Interval | None
    prior_rate: tuple[float | None, float | None]
    """P(latent prior = 1) where the truth is 0, and where it is 1."""
    follow: tuple[tuple[float, float], tuple[float, float]]
    """P(posterior = 1) by truth, then by latent prior."""
    reliability: float
    """Share of the latent prior's variance that the prior runs reveal."""
    log_likelihood: float
    iterations: int
    cells: int


class Pull(NamedTuple):
    """The estimate over all labels, each label's own, and how well the model fits."""

    overall: Estimate
    labels: tuple[Estimate, ...]
    fit: tuple[Check, ...]
    """Similarities seen against those that the fitted model would give."""


def estimate(
    truth: np.ndarray,
    priors: np.ndarray,
    posteriors: np.ndarray,
    *,
    names: Sequence[str] = (),
    rounds: int = 1_000,
    seed: int = 0,
) -> Pull:
    """From predictions alone, whoever made them: truth bool (items, labels), runs bool (runs, items, labels).

    ``rounds`` of the item bootstrap; 0 leaves the intervals out. Raises Invalid when shapes disagree, fewer than three
    prior runs or no posterior run are given, the truth has no positive or no negative cell, or the latent prior never
    varies, so that there is nothing to be pulled to.
    """
    truth, priors, posteriors = _checked(truth, priors, posteriors)
    labels = truth.shape[1]
    names = tuple(names) or tuple(str(i) for i in range(labels))
    if len(names) != labels:
        raise Invalid(f"{len(names)} label names for {labels} labels; name each label once")
    counts = item_counts(truth, priors, posteriors)
    tables = np.concatenate([counts.sum(0).sum(0)[None], counts.sum(0)])
    found = latent.fit(tables)
    if np.isnan(found.kappa[0]):
        raise Invalid(
            "the prior is the same in every cell of a truth value, so nothing shows whether it is copied; "
            "give items on which prior and truth differ"
        )
    resampled = _resampled(counts, found, rounds, seed)
    estimates = [_estimate(name, tables, found, resampled, i) for i, name in enumerate(("", *names))]
    return Pull(estimates[0], tuple(estimates[1:]), check(tables[0], found, seed=seed))


def item_counts(truth: np.ndarray, priors: np.ndarray, posteriors: np.ndarray) -> np.ndarray:
    """One-hot over (t, k, j) of each cell, (items, labels, 2, R + 1, S + 1); its sums are the tables of ``latent``."""
    shape = (2, len(priors) + 1, len(posteriors) + 1)
    cell = np.ravel_multi_index((truth.astype(int), priors.sum(0), posteriors.sum(0)), shape)
    return (cell[..., None] == np.arange(math.prod(shape))).astype(np.float32).reshape(*truth.shape, *shape)


def kappa_naive(tables: np.ndarray) -> np.ndarray:
    """P(posterior = prior | prior != truth) over all pairs of runs, (B,) from tables (B, 2, R + 1, S + 1)."""
    k, j, prior_runs, posterior_runs = _runs(tables)
    copied = (tables[:, 0] * k * j + tables[:, 1] * (prior_runs - k) * (posterior_runs - j)).sum((1, 2))
    differs = ((tables[:, 0] * k + tables[:, 1] * (prior_runs - k)) * posterior_runs).sum((1, 2))
    return np.divide(copied, differs, out=np.full(len(tables), np.nan), where=differs > 0)


def kappa_slope(tables: np.ndarray) -> np.ndarray:
    """Least-squares slope of posterior on prior, with a level per truth value; otherwise as ``kappa_naive``."""
    k, j, prior_runs, posterior_runs = _runs(tables)
    x, y = k / prior_runs, j / posterior_runs
    cells = np.maximum(tables.sum((2, 3)), 1)
    mean_x, mean_y, mean_xy = ((tables * part).sum((2, 3)) / cells for part in (x, y, x * y))
    # A run's bit is its own square, so its variance is mean (1 - mean).
    covariance, variance = ((cells * part).sum(1) for part in (mean_xy - mean_x * mean_y, mean_x * (1 - mean_x)))
    return np.divide(covariance, variance, out=np.full(len(tables), np.nan), where=variance > 0)


def _runs(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray, int, int]:
    prior_runs, posterior_runs = tables.shape[2] - 1, tables.shape[3] - 1
    return np.arange(prior_runs + 1)[:, None], np.arange(posterior_runs + 1), prior_runs, posterior_runs


def _resampled(counts: np.ndarray, found: latent.Fit, rounds: int, seed: int) -> np.ndarray | None:
    """kappa, eps1 and eps0 of each table in each round, (tables, rounds, 3); each starts at the estimate."""
    if rounds == 0:
        return None
    items, labels, *shape = counts.shape
    weights = item_weights(items, rounds, seed=seed)
    drawn = (weights @ counts.reshape(items, -1)).reshape(rounds, labels, *shape)
    tables = np.concatenate([drawn.sum(1)[None], drawn.swapaxes(0, 1)]).astype(np.float64)
    # EM never leaves a rate of exactly 0, so a round does not start there.
    start = np.maximum(np.column_stack([found.noise.miss, found.noise.false_alarm]), 0.02)
    fits = latent.fit(tables.reshape(-1, *shape), start.repeat(rounds, axis=0)[None], tolerance=latent.COARSE)
    wanted = np.stack([fits.kappa, fits.noise.miss, fits.noise.false_alarm], axis=1)
    return wanted.reshape(labels + 1, rounds, 3)


def _estimate(label: str, tables: np.ndarray, found: latent.Fit, resampled: np.ndarray | None, i: int) -> Estimate:
    noise, cells = found.noise, tables[i].sum((1, 2))
    on, off = float((cells * noise.rate[i]).sum()), float((cells * (1 - noise.rate[i])).sum())

    def bounds(column: int, known: bool) -> Interval | None:
        values = None if resampled is None else resampled[i, :, column]
        return percentile(values) if known and values is not None and not np.isnan(values).all() else None

    kappa = _known(found.kappa[i])
    (no0, no1), (yes0, yes1) = found.follow[i].tolist()
    return Estimate(
        label=label,
        kappa=kappa,
        kappa_interval=bounds(0, kappa is not None),
        kappa_naive=_known(kappa_naive(tables[i : i + 1])[0]),
        kappa_slope=_known(kappa_slope(tables[i : i + 1])[0]),
        eps1=float(noise.miss[i]) if on > 0 else None,
        eps1_interval=bounds(1, on > 0),
        eps0=float(noise.false_alarm[i]) if off > 0 else None,
        eps0_interval=bounds(2, off > 0),
        prior_rate=(
            float(noise.rate[i, 0]) if cells[0] else None,
            float(noise.rate[i, 1]) if cells[1] else None,
        ),
        follow=((no0, no1), (yes0, yes1)),
        reliability=float(found.reliability[i]),
        log_likelihood=float(found.log_likelihood[i]),
        iterations=int(found.iterations[i]),
        cells=int(cells.sum()),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _checked(
    truth: np.ndarray, priors: np.ndarray, posteriors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, priors, posteriors = (np.asarray(part) for part in (truth, priors, posteriors))
    if truth.ndim != 2 or 0 in truth.shape:
        raise Invalid(f"the truth is (items, labels) with at least one of each, not {truth.shape}")
    for name, runs, least in (("prior", priors, PRIOR_RUNS), ("posterior", posteriors, 1)):
        if runs.ndim != 3 or runs.shape[1:] != truth.shape:
            raise Invalid(f"{name} runs are (runs, items, labels) over the truth's {truth.shape}, not {runs.shape}")
        if len(runs) < least:
            raise Invalid(f"{len(runs)} {name} runs cannot be told from noise; give at least {least}")
    if any(part.dtype != np.bool_ for part in (truth, priors, posteriors)):
        raise Invalid("truth, prior and posterior are bool arrays; label 1 is True")
    if truth.all() or not truth.any():
        raise Invalid("every label of the truth has the same value; the strata need cells with and without the label")
    return truth, priors, posteriors

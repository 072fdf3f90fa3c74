"""Does the pull model fit? Similarities as seen against those of replicated studies (specification, section 8.3).

Tables are drawn from the fitted model, and the similarity matrix of {prior, posterior, truth} is computed on each: a
posterior predictive check at the estimate. Posterior runs that agree more than the model allows are not independent
given prior and truth; kappa does not rest on that, but a spread over seeds then understates itself.
"""

from typing import NamedTuple

import numpy as np

from contracts.models import Interval
from llm_studies.icl_priors import latent

PAIRS = ("prior, prior", "prior, posterior", "posterior, posterior", "prior, truth", "posterior, truth")


class Check(NamedTuple):
    """One entry of the similarity matrix, as micro-F1 pooled over the pairs of runs."""

    pair: str
    observed: float
    expected: float
    """Mean over replicated studies."""
    range: Interval
    """Of replicated studies."""
    p_value: float
    """Two-sided share of replicated studies at least as far out."""


def check(table: np.ndarray, fit: latent.Fit, *, draws: int = 1_000, seed: int = 0) -> tuple[Check, ...]:
    """Compare the table (2, R + 1, S + 1) with ``draws`` from table 0 of ``fit``. One posterior run has no pair."""
    rng = np.random.default_rng(seed)
    cells = table.sum((1, 2)).astype(int)
    chances = cell_chances(fit, table.shape[1] - 1, table.shape[2] - 1)
    drawn = np.stack([rng.multinomial(n, p.ravel(), size=draws) for n, p in zip(cells, chances, strict=True)], axis=1)
    seen, replicated = similarities(table[None])[0], similarities(drawn.reshape(draws, *table.shape))
    return tuple(
        _check(pair, float(seen[i]), replicated[:, i]) for i, pair in enumerate(PAIRS) if not np.isnan(seen[i])
    )


def cell_chances(fit: latent.Fit, prior_runs: int, posterior_runs: int) -> np.ndarray:
    """P(k, j | t) under table 0 of ``fit``, runs independent given z and t; (2, R + 1, S + 1)."""
    noise = fit.noise
    rate = np.stack([1 - noise.rate[0], noise.rate[0]], axis=1)
    priors = latent.prior_chances(noise.miss, noise.false_alarm, prior_runs)[0]
    joint = np.einsum("tz,zk,tzj->tkj", rate, priors, latent.binomial(fit.follow[0], posterior_runs))
    return joint / joint.sum((1, 2), keepdims=True)


def similarities(tables: np.ndarray) -> np.ndarray:
    """Micro-F1 of each of PAIRS, 2 |A and B| / (|A| + |B|) with sums over cells and pairs of runs; (B, 5)."""
    prior_runs, posterior_runs = tables.shape[2] - 1, tables.shape[3] - 1
    t = np.arange(2)[:, None, None]
    k, j = np.arange(prior_runs + 1)[:, None], np.arange(posterior_runs + 1)

    def total(part: np.ndarray) -> np.ndarray:
        return (tables * part).sum((1, 2, 3))

    shared_sizes = (
        (k * (k - 1), k * (prior_runs - 1)),
        (2 * k * j, k * posterior_runs + j * prior_runs),
        (j * (j - 1), j * (posterior_runs - 1)),
        (2 * k * t, k + prior_runs * t),
        (2 * j * t, j + posterior_runs * t),
    )
    both = np.stack([total(shared) for shared, _ in shared_sizes], axis=1)
    size = np.stack([total(sizes) for _, sizes in shared_sizes], axis=1)
    return np.divide(both, size, out=np.full(both.shape, np.nan), where=size > 0)


def _check(pair: str, seen: float, replicated: np.ndarray) -> Check:
    replicated = replicated[~np.isnan(replicated)]
    low, high = np.quantile(replicated, [0.025, 0.975])
    further = min((replicated <= seen + 1e-12).sum(), (replicated >= seen - 1e-12).sum())
    p = min(1.0, 2 * float(further + 1) / (len(replicated) + 1))  # never 0: Phipson and Smyth 2010
    return Check(pair, seen, float(replicated.mean()), Interval(low=float(low), high=float(high)), p)

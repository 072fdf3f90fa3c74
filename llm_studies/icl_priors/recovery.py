"""Does the estimator find a pull that is known? Studies drawn from the model itself (check A, section 8.3)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llm_studies.icl_priors import latent
from llm_studies.icl_priors.pull import item_counts, kappa_naive, kappa_slope

KAPPAS, MISSES = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.1, 0.25)


class Scenario(NamedTuple):
    """A simulated study. The rates are ours: the specification's table does not state its own, and these reproduce its
    attenuated columns (kappa_naive, kappa_slope) within 0.06."""

    kappa: float = 0.5
    miss: float = 0.1
    false_alarm: float = 0.05
    items: int = 100
    labels: int = 7
    prior_runs: int = 3
    posterior_runs: int = 3
    truth_rate: float = 0.3
    prior_rate: tuple[float, float] = (0.25, 0.8)
    """P(latent prior = 1 | truth)."""
    slip: float = 0.03
    """Of a cell that follows the demonstrations, to miss the truth."""
    shared: bool = False
    """All posterior runs copy, and slip, on the same cells: runs that are not independent."""


class Study(NamedTuple):
    truth: np.ndarray
    """bool (items, labels)"""
    priors: np.ndarray
    """bool (runs, items, labels)"""
    posteriors: np.ndarray
    """bool (runs, items, labels)"""


class Recovered(NamedTuple):
    """Means over repetitions, and the population SD of kappa."""

    kappa_true: float
    eps1_true: float
    kappa: float
    kappa_sd: float
    eps1: float
    eps0: float
    kappa_naive: float
    kappa_slope: float


def simulate(scenario: Scenario, rng: np.random.Generator) -> Study:
    """One study drawn from the pull model."""
    s, shape = scenario, (scenario.items, scenario.labels)
    runs = (1 if s.shared else s.posterior_runs, *shape)
    truth = rng.random(shape) < s.truth_rate
    prior = rng.random(shape) < np.where(truth, s.prior_rate[1], s.prior_rate[0])
    priors = rng.random((s.prior_runs, *shape)) < np.where(prior, 1 - s.miss, s.false_alarm)
    follows = truth ^ (rng.random(runs) < s.slip)
    posteriors = np.where(rng.random(runs) < s.kappa, prior, follows)
    return Study(truth, priors, np.broadcast_to(posteriors, (s.posterior_runs, *shape)))


def recovery(
    kappas: Sequence[float] = KAPPAS,
    misses: Sequence[float] = MISSES,
    *,
    repetitions: int = 20,
    seed: int = 0,
    scenario: Scenario | None = None,
) -> tuple[Recovered, ...]:
    """The table of section 8.3: one row per kappa and miss rate; the rest of each study is as ``scenario`` says."""
    base = scenario or Scenario()
    grid = [base._replace(kappa=kappa, miss=miss) for miss in misses for kappa in kappas]
    streams = np.random.default_rng(seed).spawn(len(grid))
    return tuple(_recover(cell, rng, repetitions) for cell, rng in zip(grid, streams, strict=True))


def _recover(scenario: Scenario, rng: np.random.Generator, repetitions: int) -> Recovered:
    tables = np.stack([item_counts(*simulate(scenario, rng)).sum((0, 1)) for _ in range(repetitions)])
    found = latent.fit(tables.astype(np.float64))
    return Recovered(
        kappa_true=scenario.kappa,
        eps1_true=scenario.miss,
        kappa=float(found.kappa.mean()),
        kappa_sd=float(found.kappa.std()),
        eps1=float(found.noise.miss.mean()),
        eps0=float(found.noise.false_alarm.mean()),
        kappa_naive=float(kappa_naive(tables).mean()),
        kappa_slope=float(kappa_slope(tables).mean()),
    )

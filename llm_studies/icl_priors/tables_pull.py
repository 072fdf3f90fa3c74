"""Tables of the pull: how much of the posterior is a copy of the latent prior, apart from how noisy the prior is."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import Invalid
from contracts.models import Interval
from contracts.studies import Bar, Cell, Figure, Table
from llm_studies.icl_priors.pull import PRIOR_RUNS, Estimate, Pull, estimate
from llm_studies.icl_priors.ruler import Side

NOTE = (
    "kappa: chance that a cell (text x label) of the posterior copies the latent prior, by latent-class EM over the "
    "prior runs, stratified by the truth; it assumes that copying does not depend on the truth given the latent prior. "
    "eps1, eps0: chance that a prior run misses or adds a label. The naive figures are attenuated by eps1 and eps0. At "
    "100 texts, 7 labels and 3 runs two kappas must differ by about 0.08 to be told apart."
)


def pulls(posterior: Mapping[int, Side], prior: Mapping[int, Side], truth: np.ndarray, names: Sequence[str],
          rounds: int) -> tuple[dict[int, Pull], list[str]]:  # fmt: skip
    """Per number of shots; and a sentence for each that has no estimate, and why."""
    found, without = {}, []
    for shots, post in posterior.items():
        if shots not in prior or not post.runs:
            continue
        try:
            found[shots] = estimate(truth, np.array(prior[shots].runs), np.array(post.runs), names=names, rounds=rounds)
        except Invalid as reason:
            without.append(f"no pull at {shots} shots: {reason.detail}")
    return found, without


def pull(found: Mapping[int, Pull]) -> Table:
    rows = [
        (shots, one.label or "all labels", *_row(one)) for shots, p in found.items() for one in (p.overall, *p.labels)
    ]
    return Table(
        name="pull",
        title=f"Pull of the prior (needs {PRIOR_RUNS} prior runs or more)",
        columns=(
            "shots",
            "label",
            "kappa",
            "kappa low",
            "kappa high",
            "naive",
            "slope",
            "eps1",
            "eps1 low",
            "eps1 high",
            "eps0",
            "eps0 low",
            "eps0 high",
            "reliability",
            "cells",
        ),
        rows=tuple(rows),
        note=NOTE,
    )


def goodness(found: Mapping[int, Pull]) -> Table:
    rows = [
        (shots, check.pair, check.observed, check.expected, check.range.low, check.range.high, check.p_value)
        for shots, p in found.items()
        for check in p.fit
    ]
    return Table(
        name="pull_fit",
        title="Does the pull model fit: similarities seen against those of studies drawn from it (micro-F1)",
        columns=("shots", "pair", "seen", "expected", "low", "high", "p"),
        rows=tuple(rows),
        note="Posterior runs that agree more than expected are not independent given prior and truth.",
    )


def figure(found: Mapping[int, Pull]) -> Figure:
    bars = [
        Bar(label=f"{shots} shots", value=one.overall.kappa, **_ends(one.overall.kappa_interval))
        for shots, one in found.items()
        if one.overall.kappa is not None
    ]
    return Figure(name="pull", title="Pull of the prior by shots", unit="kappa", bars=tuple(bars))


def _row(one: Estimate) -> tuple[Cell, ...]:
    return (
        one.kappa, *_bounds(one.kappa_interval), one.kappa_naive, one.kappa_slope,
        one.eps1, *_bounds(one.eps1_interval), one.eps0, *_bounds(one.eps0_interval), one.reliability, one.cells,
    )  # fmt: skip


def _bounds(found: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if found is None else (found.low, found.high)


def _ends(found: Interval | None) -> dict[str, float | None]:
    low, high = _bounds(found)
    return {"low": low, "high": high}

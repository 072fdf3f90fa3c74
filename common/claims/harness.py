"""From paired runs to verdicts: every condition runs under every seed, every claim is a difference within a seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from common.claims.statistics import holm, interval, sign_flip_p
from common.errors import OperatorError
from contracts.claims import ClaimResult, ClaimRow, Verdict
from contracts.models import Interval

ROUNDS = 10_000
"""Resamples behind each bootstrap interval and each Monte-Carlo test."""

Figure = Callable[[Mapping[str, float]], float]
"""Reads one number from the measured values of one condition under one seed."""

Condition = Callable[[int], Mapping[str, float]]
"""Measures one condition under a seed; the seed alone decides split, order of the data and initial weights."""


class Claim(NamedTuple):
    """A statement ``method - control > threshold`` about two figures of the same seed.

    ``where`` limits the claim to pairs whose method values satisfy a premise ("nets whose entropy is below 0.10 ...").
    """

    claim: str
    paper: str
    unit: str
    method: tuple[str, Figure]
    control: tuple[str, Figure]
    control_name: str
    threshold: float = 0.0
    where: Callable[[Mapping[str, float]], bool] | None = None


def value(name: str, scale: float = 1.0) -> Figure:
    """The figure ``name`` times ``scale``, e.g. ``value("test_hard", 100)`` for points."""
    return lambda values: scale * values[name]


def run_paired(
    conditions: Mapping[str, Condition], seeds: Iterable[int], data: str, progress: Callable[[str], None]
) -> tuple[ClaimRow, ...]:
    """Measure every condition under every seed, seed by seed, so that an interrupted study is still paired."""
    rows: list[ClaimRow] = []
    for seed in seeds:
        for name, measure in conditions.items():
            rows.append(ClaimRow(condition=name, data=data, seed=seed, values=dict(measure(seed))))
            progress(f"{data}, seed {seed}: {name}")
    return tuple(rows)


def judge(
    claims: Sequence[Claim], rows: Sequence[ClaimRow], *, rounds: int = ROUNDS, seed: int = 0
) -> tuple[ClaimResult, ...]:
    """Effect, interval, p-values and verdict of each claim on each data set of ``rows``.

    The p-value tests ``method - control = threshold`` (two-sided, sign flips); ``p_holm`` is adjusted over everything
    that is returned. A claim whose premise (``where``) fewer than two seeds meet is left out: nothing was measured.

    Raises OperatorError when fewer than two seeds were run: a single pair has no interval.
    """
    measured: list[tuple[Claim, str, np.ndarray]] = []
    for data in dict.fromkeys(row.data for row in rows):
        here = [row for row in rows if row.data == data]
        if len({row.seed for row in here}) < 2:
            raise OperatorError("one seed has no interval; give --seeds 2 or more")
        for claim in claims:
            differences = paired_differences(claim, here)
            if len(differences) >= 2:
                measured.append((claim, data, differences))
    streams = np.random.default_rng(seed).spawn(2 * len(measured))
    tested = [sign_flip_p(d - c.threshold, streams[2 * i], rounds=rounds) for i, (c, _, d) in enumerate(measured)]
    adjusted = holm(tested)
    return tuple(
        _result(claim, data, d, interval(d, streams[2 * i + 1], rounds=rounds), tested[i], adjusted[i])
        for i, (claim, data, d) in enumerate(measured)
    )


def paired_differences(claim: Claim, rows: Sequence[ClaimRow]) -> np.ndarray:
    """Method minus control, one per seed that ran both and meets the premise, in the order of seeds; float64 (n,)."""
    method, control = (
        {row.seed: row.values for row in rows if row.condition == condition}
        for condition in (claim.method[0], claim.control[0])
    )
    seeds = [s for s in sorted(method) if s in control and (claim.where is None or claim.where(method[s]))]
    return np.array([claim.method[1](method[s]) - claim.control[1](control[s]) for s in seeds], dtype=np.float64)


def verdict(found: Interval, threshold: float) -> Verdict:
    """Wholly above: holds. Wholly below: does not hold. Otherwise nothing can be said at this scale."""
    if found.low > threshold:
        return "holds"
    if found.high < threshold:
        return "does not hold"
    return "inconclusive at this scale"


def _result(claim: Claim, data: str, differences: np.ndarray, found: Interval, p: float, p_holm: float) -> ClaimResult:
    return ClaimResult(
        claim=claim.claim,
        paper=claim.paper,
        data=data,
        seeds=len(differences),
        control=claim.control_name,
        unit=claim.unit,
        effect=float(differences.mean()),
        interval=found,
        threshold=claim.threshold,
        p_value=p,
        p_holm=p_holm,
        verdict=verdict(found, claim.threshold),
    )

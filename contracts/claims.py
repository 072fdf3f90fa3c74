"""A paper's claims, re-tested: ``kithara claims SYSTEM --json``."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Name, Positive, Probability, Record
from contracts.models import Interval

Verdict = Literal["holds", "does not hold", "inconclusive at this scale"]


class ClaimResult(Record, frozen=True, kw_only=True):
    """One claim, measured."""

    claim: str
    """What is claimed, as a statement about ``effect``."""
    paper: str
    """Where the paper says so, and its figure."""
    data: str
    seeds: Annotated[int, Meta(ge=1)]
    control: str
    """What the method is compared with."""
    unit: str
    """Of ``effect`` and ``threshold``, e.g. ``points of test accuracy``."""
    effect: float
    """Mean paired difference, method minus control."""
    interval: Interval
    threshold: float
    """The claim holds when the whole interval lies above it, does not hold when the whole interval lies below it."""
    p_value: Probability
    p_holm: Probability
    """Adjusted over all claims of the report."""
    verdict: Verdict


class ClaimRow(Record, frozen=True, kw_only=True):
    """One measured condition of one seed, so that every effect can be computed again from the report."""

    condition: str
    data: str
    seed: int
    values: dict[str, float]


class ClaimsReport(Record, frozen=True, kw_only=True):
    """All claims of one system."""

    system: Name
    command: str
    created: str
    scale: str
    """How this run differs from the paper's: data, epochs, seeds."""
    claims: tuple[ClaimResult, ...]
    rows: tuple[ClaimRow, ...]
    seconds: Annotated[float, Meta(ge=0)]
    rounds: Positive
    """Bootstrap resamples behind each interval."""

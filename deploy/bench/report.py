"""What ``kithara bench serving`` found, as typed rows, and as text."""

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from contracts._base import Record
from deploy.bench.client import Sample


class OverheadRow(Record, frozen=True, kw_only=True):
    """One route of one HTTP server under one number of clients, the best of the interleaved repeats."""

    server: str
    route: Literal["empty", "infer"]
    clients: int
    per_second: float
    p50_us: float
    p99_us: float
    wrong: int
    failed: int


class CeilingRow(Record, frozen=True, kw_only=True):
    """ONNX Runtime alone, in this process, one thread, on the server's core while the server is idle."""

    model: str
    batches: str
    per_second: float


class LoadRow(Record, frozen=True, kw_only=True):
    """Closed loop: each client asks again when it is answered. The best of the repeats."""

    model: str
    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float
    ceiling_share: float
    """Of the model's first ceiling."""
    answers: int
    """Over all repeats."""
    wrong: int
    """Answers that differ from ONNX Runtime in this process."""
    failed: int
    """Answers that are not 200, and connections that the server closed."""


class RefusalRow(Record, frozen=True, kw_only=True):
    """Closed loop against a server whose only place is taken: what it costs to refuse, and nothing else."""

    clients: int
    per_second: float


class OverloadRow(Record, frozen=True, kw_only=True):
    """Open loop at a multiple of the model's own peak; latency counts from when a request was due."""

    model: str
    window: int
    """Every window is listed; a model's targets are held against the median of the undisturbed ones."""
    peak_per_second: float
    """The best closed loop right before this window."""
    offered_per_second: float
    goodput_per_second: float
    """Right answers within ``within_seconds``."""
    goodput_share: float
    reachable_share: float
    """What a core that wastes nothing could reach, by what refusing costs in ``RefusalRow``: the rest of the requests
    must be refused, and each refusal takes its receive, its send and its answer's way through the kernel."""
    within_seconds: float
    connections: int
    answered: int
    late: int
    refused: int
    other: int
    unsent: int
    """Due when every connection was busy, and still waiting in the client at the end."""
    unanswered: int
    wrong: int
    refusal_p50_ms: float | None
    refusal_p99_ms: float | None
    core_taken_by_others: float
    """Share of the server's core that other processes took meanwhile: what the server had no chance to use."""
    retry_after_share: float | None
    """Refusals that carry Retry-After."""


class LeaversRow(Record, frozen=True, kw_only=True):
    """Callers that hang up before they are answered."""

    model: str
    callers: int
    stayed_ms: float
    answered: int
    """Had their answer before they hung up."""
    rows_computed: int
    """Rows of the others that the engine computed, by the server's own count: at most those already running."""
    batches: int
    rows_allowed: int
    """Rows of the one execution that may have been running when they hung up."""
    cancelled: int


class StartRow(Record, frozen=True, kw_only=True):
    """``kithara serve`` on the shipped models, the best of the repeats."""

    ready_seconds: float
    peak_mb: float


class Target(Record, frozen=True, kw_only=True):
    """One figure that must be reached."""

    name: str
    value: float
    bound: Literal["at least", "at most"]
    limit: float
    met: bool


class ServingReport(Record, frozen=True, kw_only=True):
    """Everything measured in one run; only the ratios mean something on another machine."""

    machine: str
    versions: dict[str, str]
    quick: bool
    server_core: int
    client_core: int
    targets: tuple[Target, ...]
    overhead: tuple[OverheadRow, ...]
    ceilings: tuple[CeilingRow, ...]
    load: tuple[LoadRow, ...]
    refusals: tuple[RefusalRow, ...]
    overload: tuple[OverloadRow, ...]
    leavers: tuple[LeaversRow, ...]
    start: tuple[StartRow, ...]

    def table(self) -> str:
        """All rows as aligned text, one block for each kind."""
        blocks = (
            self.targets, self.overhead, self.ceilings, self.load,
            self.refusals, self.overload, self.leavers, self.start,
        )  # fmt: skip
        head = f"{self.machine}; server on core {self.server_core}, client on core {self.client_core}"
        return "\n\n".join([head, *(_aligned(rows) for rows in blocks if rows)])


def target(name: str, value: float, bound: Literal["at least", "at most"], limit: float) -> Target:
    """Judge a figure."""
    met = value >= limit if bound == "at least" else value <= limit
    return Target(name=name, value=value, bound=bound, limit=limit, met=met)


def percentile(samples: Iterable[Sample], q: float) -> float | None:
    """Latency in seconds below which ``q`` percent of the samples lie; None without samples."""
    seconds = [sample.seconds for sample in samples]
    return float(np.percentile(seconds, q)) if seconds else None


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _aligned(rows: Sequence[Record]) -> str:
    names = rows[0].__struct_fields__
    cells = [names, *([_text(getattr(row, name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}"
    return "-" if value is None else str(value)

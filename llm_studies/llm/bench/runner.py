"""``kithara bench llm``: our runner against a server of fixed latency, beside what it must not be slower than."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from common.errors import OperatorError
from contracts._base import Record
from contracts.llm import ChatRequest, Honoured, Message, Profile, Usage
from contracts.studies import StudyReport
from llm_studies.llm import run
from llm_studies.llm.ask import Ask
from llm_studies.llm.bench.rivals import INSTALL, MESSAGES, harness, harness_python, library
from llm_studies.llm.client import Client
from llm_studies.llm.loop import run as run_loop
from llm_studies.llm.study import Capability, Job

CONCURRENCY = 64
SLOW, FAST = 0.25, 0.005
"""Seconds that the server takes: a hosted model's, and a small local one's."""


class Row(Record, frozen=True, kw_only=True):
    """One runner against one latency, the best of the interleaved repeats."""

    runner: Literal["kithara", "openai client", "lm-evaluation-harness"]
    latency_ms: float
    calls: int
    per_second: float
    growth_mb: float | None = None
    """By which the process's memory was larger at its largest than before, in 10^6 bytes."""


class Target(Record, frozen=True, kw_only=True):
    """One figure that must be reached."""

    name: str
    value: float
    bound: Literal["at least", "at most"]
    limit: float
    met: bool


class RunnerReport(Record, frozen=True, kw_only=True):
    """Everything measured in one run; only the ratios mean something on another machine."""

    machine: str
    concurrency: int
    rows: tuple[Row, ...]
    targets: tuple[Target, ...]
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        lines = [f"{self.machine}; concurrency {self.concurrency}", ""]
        for row in self.rows:
            growth = "" if row.growth_mb is None else f", memory +{row.growth_mb:.1f} MB"
            speed = f"{row.calls:>6} calls  {row.per_second:>8.1f} per second"
            lines.append(f"{row.runner:<22} {row.latency_ms:>5.0f} ms  {speed}{growth}")
        lines.append("")
        for target in self.targets:
            met = "met" if target.met else "NOT MET"
            lines.append(f"{target.name}: {target.value:.3g} ({target.bound} {target.limit:g}): {met}")
        return "\n".join([*lines, *self.notes])


class _Jobs(Sequence[Job]):
    """Made when they are taken, so that the memory measured is the runner's."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Job]: ...
    def __getitem__(self, index: int | slice) -> Job | Sequence[Job]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        turns = (*MESSAGES, {"role": "user", "content": str(index)})
        messages = tuple(Message(**turn) for turn in turns)  # pyright: ignore[reportArgumentType]
        request = ChatRequest(messages=messages, max_tokens=100)

        async def work(ask: Ask) -> Any:
            return await ask(request)

        return Job(str(index), work)


class _Calls:
    """A study of independent calls."""

    name = "bench"
    needs: frozenset[Capability] = frozenset()

    def __init__(self, count: int) -> None:
        self._jobs = _Jobs(count)

    async def stage(self, number: int, replay: Ask) -> Sequence[Job]:
        return self._jobs if number == 0 else ()

    async def report(self, replay: Ask) -> StudyReport:
        usage = Usage(prompt_tokens=0, completion_tokens=0)
        return StudyReport(study="bench", title="", model="", scale="", usage=usage, calls=0, tables=())


def bench(quick: bool = False) -> RunnerReport:
    """Measure. Raises OperatorError when a server or a rival cannot be run."""
    slow, fast, repeats = (2_000, 3_000, 2) if quick else (10_000, 10_000, 3)
    python = harness_python()
    with _core() as core, _server(SLOW, core) as url:
        _kithara(url, SLOW, 200)
        rows = [_kithara(url, SLOW, slow)]
    with _core() as core, _server(FAST, core) as url:
        _kithara(url, FAST, 500)
        found: list[Row] = []
        for _ in range(repeats):
            found.append(_kithara(url, FAST, fast))
            found.append(_row("openai client", fast // 4, run_loop(library(url, fast // 4, CONCURRENCY))))
            if python is not None:
                found.append(_row("lm-evaluation-harness", fast, harness(python, url, fast, CONCURRENCY)))
    runners = dict.fromkeys(row.runner for row in found)
    rows += [max((row for row in found if row.runner == name), key=lambda row: row.per_second) for name in runners]
    notes = () if python is not None else (f"lm-evaluation-harness was not measured: {INSTALL}.",)
    return RunnerReport(
        machine=f"{os.cpu_count()} cores, Python {sys.version.split()[0]}",
        concurrency=CONCURRENCY,
        rows=tuple(rows),
        targets=tuple(_targets(rows)),
        notes=notes,
    )


def _row(runner: Any, calls: int, per_second: float) -> Row:
    return Row(runner=runner, latency_ms=FAST * 1e3, calls=calls, per_second=per_second)


def _targets(rows: list[Row]) -> Iterator[Target]:
    slow, fast = rows[0], rows[1]
    ideal = CONCURRENCY / SLOW
    yield _target("share of the ideal throughput at 250 ms", slow.per_second / ideal, "at least", 0.9)
    yield _target("growth of memory in MB", slow.growth_mb or 0.0, "at most", 50.0)
    for row in rows[2:]:
        limit = 0.9 if row.runner == "openai client" else 1.5
        yield _target(f"times {row.runner} at 5 ms", fast.per_second / row.per_second, "at least", limit)


def _target(name: str, value: float, bound: Literal["at least", "at most"], limit: float) -> Target:
    return Target(
        name=name, value=value, bound=bound, limit=limit, met=value >= limit if bound == "at least" else value <= limit
    )


def _kithara(url: str, latency: float, calls: int) -> Row:
    """A whole study: plan, journal and all. Its probe is left out, which is about the server."""
    profile = Profile(base_url=url, model="m", concurrency=CONCURRENCY)
    largest = before = _resident()

    def progress(told: run.Progress) -> None:
        nonlocal largest
        if told.done % 100 == 0:
            largest = max(largest, _resident())

    # given, so that the runner asks nothing but the study's calls
    truths: dict[str, Any] = {name: True for name, kind in Honoured.__annotations__.items() if kind is bool}
    honoured = Honoured(base_url=url, model="m", created="", calls=0, **truths)

    async def measured() -> run.Outcome:
        async with Client(profile) as client:
            return await run.execute(_Calls(calls), folder, profile, client=client, probe=honoured, progress=progress)

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        started = time.perf_counter()
        outcome = run_loop(measured())
        seconds = time.perf_counter() - started
    if outcome.paid != calls:
        raise OperatorError(f"the bench's server answered {outcome.paid} of {calls} calls; run it on a quiet machine")
    return Row(
        runner="kithara",
        latency_ms=latency * 1e3,
        calls=calls,
        per_second=calls / seconds,
        growth_mb=(largest - before) / 1e6,
    )


def _resident() -> int:
    """Bytes of memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        raise OperatorError("/proc does not tell the memory of a process; this bench needs Linux") from None


@contextlib.contextmanager
def _core() -> Iterator[int]:
    """The core for the server; this process and its rivals stay on another."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield min(before)
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _server(latency: float, core: int) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_studies.llm.bench.server", "0", str(latency)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        os.sched_setaffinity(process.pid, {core})
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise OperatorError("the bench's server did not start; run it by hand to see why")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

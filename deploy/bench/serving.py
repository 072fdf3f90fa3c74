"""``kithara bench serving``: the suite under load, beside ceilings that are measured in the same run."""

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

from contracts.models import Limits
from deploy.bench import measure, report, start
from deploy.bench.answers import get_request
from deploy.bench.cores import Core, Place, pinned, places
from deploy.bench.measure import Closed, Oracle
from deploy.bench.models import LONGEST, Arrays, Bench, merge, mlp, publish, ragged
from deploy.bench.report import (
    CeilingRow,
    LeaversRow,
    LoadRow,
    OverheadRow,
    OverloadRow,
    RefusalRow,
    ServingReport,
    target,
)
from deploy.bench.server import HttpServer, Running, running

CLIENTS = (1, 32, 128)
BATCH, SORTED_BATCH = 32, 8
OVERLOAD = 2.0
CALM = 0.02
"""Share of the server's core that others may take in a window that counts."""
A = TypeVar("A")
B = TypeVar("B")
K = TypeVar("K")
L = TypeVar("L")


class Effort(NamedTuple):
    """How long and how often is measured."""

    repeats: int
    seconds: float
    windows: int
    overload_seconds: float


FULL, QUICK = Effort(5, 1.5, 3, 10.0), Effort(2, 0.6, 1, 4.0)


def bench(quick: bool) -> ServingReport:
    """Measure everything; a few minutes, or one when ``quick``. Raises OperatorError when it cannot be measured."""
    place, effort = places(), QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="kithara-bench-") as folder, pinned(place.client):
        benches = models()
        for one in benches:
            publish(one, Path(folder))
        oracles = {one.name: Oracle(one) for one in benches}
        overhead = measure_overhead(Path(folder), oracles["tiny"], place, effort)
        refusals = measure_refusals(Path(folder), oracles["tiny"], place, effort)
        with running(Path(folder), place.server) as server:
            ceilings, load = measure_load(server, tuple(oracles.values()), place, effort)
            overload = tuple(measure_overload(server, tuple(oracles.values()), place, refusals, effort))
            leavers = tuple(measure_leavers(server.port, (oracles["heavy"], oracles["ragged"])))
    started = start.shipped(effort.repeats)
    return ServingReport(
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        versions=measure.versions(),
        quick=quick,
        server_core=place.server,
        client_core=place.client,
        targets=tuple(judge(overhead, load, overload, leavers, started)),
        overhead=overhead,
        ceilings=ceilings,
        load=load,
        refusals=(refusals,),
        overload=overload,
        leavers=leavers,
        start=started,
    )


def models() -> tuple[Bench, ...]:
    """Tiny (microseconds), heavy (milliseconds, batches pay), ragged (very different lengths)."""
    return (
        mlp("tiny", (128, 512, 16), rows=64, limits=Limits()),
        mlp("heavy", (128, *[2048] * 6, 16), rows=64, limits=Limits()),
        ragged(rows=128, limits=Limits(max_cost=BATCH * LONGEST)),
    )


def measure_overhead(folder: Path, tiny: Oracle, place: Place, effort: Effort) -> tuple[OverheadRow, ...]:
    """A tiny model's inference beside an empty route, on both HTTP servers, all interleaved."""
    routes = {"empty": ([get_request("/empty")], None), "infer": (tiny.requests, tiny)}
    with ExitStack() as stack:
        ports = {s: stack.enter_context(running(folder, place.server, s)).port for s in get_args(HttpServer)}
        runs = {
            (server, route, clients): partial(measure.closed, port, requests, clients, effort.seconds, oracle)
            for server, port in ports.items()
            for route, (requests, oracle) in routes.items()
            for clients in (1, 32)
        }
        results, _ = interleaved(runs, {}, effort.repeats)
    rows = []
    for (server, route, clients), found in results.items():
        rows.append(
            OverheadRow(
                server=server,
                route="empty" if route == "empty" else "infer",
                clients=clients,
                per_second=max(one.per_second for one in found),
                p50_us=min(one.p50 for one in found) * 1e6,
                p99_us=min(one.p99 for one in found) * 1e6,
                wrong=sum(one.wrong for one in found),
                failed=sum(one.failed for one in found),
            )
        )
    return tuple(rows)


def measure_load(
    server: Running, oracles: Sequence[Oracle], place: Place, effort: Effort
) -> tuple[tuple[CeilingRow, ...], tuple[LoadRow, ...]]:
    """Closed loops and the ceilings they are held against, interleaved model by model."""
    ceilings: list[CeilingRow] = []
    rows: list[LoadRow] = []
    for oracle in oracles:
        seconds = effort.seconds / 2
        raw = {
            name: partial(measure.ceiling, oracle, batches, place.server, seconds)
            for name, batches in ceiling_batches(oracle.bench).items()
        }
        loops = {c: partial(measure.closed, server.port, oracle.requests, c, effort.seconds, oracle) for c in CLIENTS}
        ceiling, found = interleaved(raw, loops, effort.repeats)
        best = {name: max(rates) for name, rates in ceiling.items()}
        ceilings += [CeilingRow(model=oracle.bench.name, batches=name, per_second=best[name]) for name in raw]
        first = next(iter(best.values()))
        rows += [load_row(oracle.bench.name, clients, found[clients], first) for clients in CLIENTS]
    return tuple(ceilings), tuple(rows)


def ceiling_batches(one: Bench) -> dict[str, list[Arrays]]:
    """What ONNX Runtime alone is given; the first entry is the one that targets refer to."""
    if not one.signature.dynamic:
        return {f"{BATCH} rows": [merge(one.rows[:BATCH])], "1 row": [dict(one.rows[0])]}
    return {
        f"{SORTED_BATCH} rows, all sorted by length": measure.sorted_batches(one.rows, SORTED_BATCH),
        f"{SORTED_BATCH} rows, {BATCH} at a time sorted": measure.sorted_batches(one.rows, SORTED_BATCH, BATCH),
        f"{BATCH} rows as they come": [merge(one.rows[i : i + BATCH]) for i in range(0, len(one.rows), BATCH)],
        "1 row": [dict(row) for row in one.rows],
    }


def load_row(model: str, clients: int, found: Sequence[Closed], ceiling: float) -> LoadRow:
    """The best repeat, and the mistakes of all."""
    best = max(found, key=lambda one: one.per_second)
    return LoadRow(
        model=model,
        clients=clients,
        per_second=best.per_second,
        p50_ms=best.p50 * 1e3,
        p99_ms=best.p99 * 1e3,
        ceiling_share=best.per_second / ceiling,
        answers=sum(one.answers for one in found),
        wrong=sum(one.wrong for one in found),
        failed=sum(one.failed for one in found),
    )


def measure_refusals(folder: Path, oracle: Oracle, place: Place, effort: Effort) -> RefusalRow:
    """What refusing costs, on as many connections as the overload has."""
    with running(folder, place.server, in_flight="1") as server:
        return measure.refusals(server.port, oracle, measure.CONNECTIONS, effort.seconds, effort.repeats)


def measure_overload(
    server: Running, oracles: Sequence[Oracle], place: Place, refusals: RefusalRow, effort: Effort
) -> Iterator[OverloadRow]:
    """Each model in turn, several times over: its peak, and at once afterwards twice that rate."""
    for window in range(effort.windows):
        for oracle in oracles:
            loops = [measure.closed(server.port, oracle.requests, c, effort.seconds, oracle) for c in CLIENTS[1:]]
            load = measure.Load(window, max(loop.per_second for loop in loops), refusals.per_second)
            core = Core(place.server, server.process.pid)
            yield measure.overload(server.port, oracle, load, OVERLOAD, effort.overload_seconds, core)


def measure_leavers(port: int, oracles: Sequence[Oracle]) -> Iterator[LeaversRow]:
    """As many callers as the server admits, gone before the second execution can start: one row of heavy takes 2 ms."""
    for oracle in oracles:
        yield measure.leavers(port, oracle, callers=100, stay=0.0015)


def interleaved(
    first: Mapping[K, Callable[[], A]], second: Mapping[L, Callable[[], B]], repeats: int
) -> tuple[dict[K, list[A]], dict[L, list[B]]]:
    """Results of all runs, one of each kind in turn, so that a busy spell of the machine hits all alike."""
    one: dict[K, list[A]] = {name: [] for name in first}
    two: dict[L, list[B]] = {name: [] for name in second}
    for _ in range(repeats):
        for name, run in first.items():
            one[name].append(run())
        for name, run in second.items():
            two[name].append(run())
    return one, two


def judge(
    overhead: Sequence[OverheadRow],
    load: Sequence[LoadRow],
    overload: Sequence[OverloadRow],
    leavers: Sequence[LeaversRow],
    started: Sequence[report.StartRow],
) -> Iterator[report.Target]:
    """Every target of the suite's serving side."""
    at = {(row.server, row.route, row.clients): row for row in overhead}
    for server in get_args(HttpServer):
        one, empty_one = at[server, "infer", 1], at[server, "empty", 1]
        many, empty_many = at[server, "infer", 32], at[server, "empty", 32]
        yield target(f"{server}: p50 of tiny / empty route, 1 client", one.p50_us / empty_one.p50_us, "at most", 1.8)
        share = many.per_second / empty_many.per_second
        yield target(f"{server}: rate of tiny / empty route, 32 clients", share, "at least", 0.7)
    for row in load:
        if row.clients == BATCH and row.model != "tiny":
            yield target(f"{row.model}: share of its ceiling, 32 clients", row.ceiling_share, "at least", 0.8)
    yield target("wrong answers", sum(r.wrong for r in (*overhead, *load, *overload)), "at most", 0)
    yield target("failed answers below overload", sum(r.failed for r in (*overhead, *load)), "at most", 0)
    for model in dict.fromkeys(row.model for row in overload):
        yield from judge_overload(model, [row for row in overload if row.model == model])
    for row in leavers:
        yield target(
            f"{row.model}: rows computed for callers that left", row.rows_computed, "at most", row.rows_allowed
        )
    for row in started:
        yield target("seconds from start to ready", row.ready_seconds, "at most", 3)
        yield target("peak memory, MB", row.peak_mb, "at most", 300)


def judge_overload(model: str, windows: Sequence[OverloadRow]) -> Iterator[report.Target]:
    """By the median of the windows that other processes left alone, of all where none was; every window is listed."""
    calm = [row for row in windows if row.core_taken_by_others < CALM] or windows
    goodput = statistics.median(row.goodput_share for row in calm)
    yield target(f"{model}: goodput / peak at twice the peak", goodput, "at least", 0.9)
    refusals = [row.refusal_p99_ms for row in calm if row.refusal_p99_ms is not None]
    shares = [row.retry_after_share for row in calm if row.retry_after_share is not None]
    if refusals and shares:
        yield target(f"{model}: p99 of refusals, ms", statistics.median(refusals), "at most", 20)
        yield target(f"{model}: refusals with Retry-After", min(shares), "at least", 1)

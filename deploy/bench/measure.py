"""Single measurements: rate, latency, overload, callers that leave. All repeats are interleaved by the caller."""

import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import onnxruntime as ort

from common.errors import OperatorError
from deploy.bench.answers import BadAnswer, get_request, infer_request, outputs
from deploy.bench.client import HOST, Client, Result, Sample, ask, leave, poisson
from deploy.bench.cores import Core, pinned
from deploy.bench.models import Arrays, Bench, merge, run, session
from deploy.bench.report import LeaversRow, OverloadRow, RefusalRow, milliseconds, percentile
from deploy.bench.server import Counters

ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""Tolerance of an answer: another batch size sums in another order."""
WITHIN_SECONDS = 1.0
CONNECTIONS = 512
"""Of the open loop; a request that finds all of them busy waits in the client, and that wait counts."""


class Oracle:
    """The right answer of each request of one model, computed in this process one row at a time."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.session = bench, session(bench)
        self.requests = [infer_request(bench.name, bench.signature, row) for row in bench.rows]
        self._expected = [run(self.session, bench, row) for row in bench.rows]
        self._known: dict[tuple[int, bytes], bool] = {}

    def right(self, sample: Sample) -> bool:
        """Whether a 200 holds the expected outputs within tolerance; each distinct body is compared once."""
        key = (sample.request, sample.answer.body)
        if key not in self._known:
            self._known[key] = self._compare(sample)
        return self._known[key]

    def _compare(self, sample: Sample) -> bool:
        expected = self._expected[sample.request]
        try:
            found = outputs(sample.answer)
        except (BadAnswer, KeyError, ValueError):
            return False
        return found.keys() == expected.keys() and all(
            found[name].shape == array.shape and np.allclose(found[name], array, RELATIVE, ABSOLUTE)
            for name, array in expected.items()
        )


class Load(NamedTuple):
    """What an overload is a multiple of."""

    window: int
    peak: float
    refusals: float
    """Per second, when nothing is answered."""


class Closed(NamedTuple):
    """One closed-loop run."""

    per_second: float
    p50: float
    p99: float
    """Seconds."""
    answers: int
    wrong: int
    failed: int


def closed(port: int, requests: Sequence[bytes], clients: int, seconds: float, oracle: Oracle | None) -> Closed:
    """Closed loop; answers are compared when there is an oracle. Raises OperatorError when nothing was answered."""
    client = Client(port, requests, clients)
    try:
        result = client.closed(seconds)
    finally:
        client.close()
    good = [s for s in result.samples if s.answer.status in (200, 204)]
    p50, p99 = percentile(good, 50), percentile(good, 99)
    if p50 is None or p99 is None:
        raise OperatorError(f"no request was answered in {seconds} s: {result.samples[:1] or 'no answer at all'}")
    wrong = sum(not oracle.right(s) for s in good) if oracle else 0
    failed = len(result.samples) - len(good) + result.broken + result.unanswered
    return Closed(len(good) / result.seconds, p50, p99, len(good), wrong, failed)


def refusals(port: int, oracle: Oracle, clients: int, seconds: float, repeats: int) -> RefusalRow:
    """Best rate of refusals of a server that takes one request at a time, while a caller who never ends it has it.

    Raises OperatorError when it answers anything else.
    """
    best = 0.0
    with socket.create_connection((HOST, port)) as held:
        held.sendall(oracle.requests[0][:-1])
        time.sleep(0.1)
        for _ in range(repeats):
            client = Client(port, oracle.requests, clients)
            try:
                result = client.closed(seconds)
            finally:
                client.close()
            if any(s.answer.status != 503 for s in result.samples):
                raise OperatorError("a server whose only place is taken did not refuse every request; set in_flight=1")
            best = max(best, len(result.samples) / result.seconds)
    return RefusalRow(clients=clients, per_second=best)


def reachable(times: float, peak: float, refused: float) -> float:
    """Goodput over ``peak`` at ``times`` the peak when the core spends all its time on answers and refusals.

    From ``share + (times - share) * peak / refused = 1`` in units of one core's time.
    """
    cost = peak / refused
    return min(1.0, max(0.0, (1 - times * cost) / (1 - cost))) if cost < 1 else 0.0


def overload(port: int, oracle: Oracle, load: Load, times: float, seconds: float, core: Core) -> OverloadRow:
    """Open loop at ``times`` the peak, with Poisson arrivals; ``core`` is the server's."""
    offered = times * load.peak
    client = Client(port, oracle.requests, CONNECTIONS)
    try:
        client.greet(get_request("/livez"))
        result = client.opened(poisson(offered, seconds, seed=load.window), seconds)
    finally:
        client.close()
    return judged(oracle, result, load, times, core.others())


def judged(oracle: Oracle, result: Result, load: Load, times: float, others: float) -> OverloadRow:
    """What an open-loop result amounts to."""
    good = [s for s in result.samples if s.answer.status == 200]
    refused = [s for s in result.samples if s.answer.status == 503]
    wrong = sum(not oracle.right(s) for s in good)
    in_time = sum(s.seconds <= WITHIN_SECONDS and oracle.right(s) for s in good)
    retry_after = sum(s.answer.header(b"retry-after") is not None for s in refused)
    return OverloadRow(
        model=oracle.bench.name,
        window=load.window,
        peak_per_second=load.peak,
        offered_per_second=times * load.peak,
        goodput_per_second=in_time / result.seconds,
        goodput_share=in_time / result.seconds / load.peak,
        reachable_share=reachable(times, load.peak, load.refusals),
        within_seconds=WITHIN_SECONDS,
        connections=CONNECTIONS,
        answered=len(good),
        late=sum(s.seconds > WITHIN_SECONDS for s in good),
        refused=len(refused),
        other=len(result.samples) - len(good) - len(refused) + result.broken,
        unsent=result.unsent,
        unanswered=result.unanswered,
        wrong=wrong,
        refusal_p50_ms=milliseconds(percentile(refused, 50)),
        refusal_p99_ms=milliseconds(percentile(refused, 99)),
        core_taken_by_others=others,
        retry_after_share=retry_after / len(refused) if refused else None,
    )


def ceiling(oracle: Oracle, batches: Sequence[Arrays], core: int, seconds: float) -> float:
    """Rows per second of ONNX Runtime on these batches, this thread alone on that core."""
    rows = sum(len(next(iter(batch.values()))) for batch in batches)
    with pinned(core):
        return rows * _rate(lambda: [run(oracle.session, oracle.bench, batch) for batch in batches], seconds)


def sorted_batches(rows: Sequence[Arrays], size: int, window: int | None = None) -> list[Arrays]:
    """Batches of neighbours in length, out of all rows, or of ``window`` consecutive ones at a time."""
    window = window or len(rows)
    groups = [sorted(rows[i : i + window], key=lambda row: row["tokens"].shape[1]) for i in range(0, len(rows), window)]
    return [merge(group[i : i + size]) for group in groups for i in range(0, len(group), size)]


def _rate(once: Callable[[], object], seconds: float) -> float:
    """Calls per second, over at least three calls after one that is not counted."""
    once()
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or count < 3:
        once()
        count += 1
    return count / passed


def counters(port: int, model: str) -> Counters:
    """The server's own counts."""
    answer = ask(port, get_request("/stats"))
    return msgspec.json.decode(answer.body, type=dict[str, Counters])[model]


def leavers(port: int, oracle: Oracle, callers: int, stay: float) -> LeaversRow:
    """``callers`` ask at once and hang up after ``stay`` seconds; what is computed for them afterwards?"""
    before = counters(port, oracle.bench.name)
    requests = [oracle.requests[i % len(oracle.requests)] for i in range(callers)]
    answered = leave(port, requests, stay)
    after = _settled(port, oracle.bench.name)
    return LeaversRow(
        model=oracle.bench.name,
        callers=callers,
        stayed_ms=stay * 1e3,
        answered=answered,
        rows_computed=after.rows - before.rows - answered,
        batches=after.batches - before.batches,
        rows_allowed=oracle.bench.limits.max_rows,
        cancelled=after.cancelled - before.cancelled,
    )


def _settled(port: int, model: str) -> Counters:
    """The counters once they have not moved for half a second."""
    last = counters(port, model)
    while True:
        time.sleep(0.5)
        now = counters(port, model)
        if now == last:
            return now
        last = now


def versions() -> dict[str, str]:
    """Of what decides the figures."""
    return {"onnxruntime": ort.__version__, "numpy": np.__version__}

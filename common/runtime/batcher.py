"""The micro-batcher: a bounded queue in front of one graph, and executions that requests share.

Everything but the execution itself happens in the event loop, so the state needs no lock. A request costs one future
and a few dictionary operations.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from common.errors import BackendFault, DeadlineExceeded, Draining, KitharaError, NotReady, QueueFull
from common.runtime.base import Arrays, Call
from common.runtime.batching import Layout, Size, choose, padded
from common.runtime.cost import CostModel
from common.runtime.crowd import Crowd
from common.runtime.deadlines import Deadlines
from contracts.models import Limits

ENOUGH = 8
"""Executions before their rate is relied on."""
Answer = dict[str, np.ndarray]


class Stop(Protocol):
    """Ends a running execution early when set (``onnxruntime.RunOptions`` has this attribute)."""

    terminate: bool


class Graph(Protocol):
    """What the batcher runs, in a thread."""

    def run(self, inputs: Arrays, stop: Stop) -> Answer: ...

    def stop(self) -> Stop: ...


class Stats(NamedTuple):
    """Counters of one engine since it was opened; ``queued`` and ``running`` are of this moment."""

    queued: int = 0
    running: int = 0
    batches: int = 0
    rows: int = 0
    rejected: int = 0
    expired: int = 0
    cancelled: int = 0


class _Waiter:
    """A request between its arrival and its answer."""

    __slots__ = ("arrived", "batch", "call", "future", "inputs", "size", "until")

    def __init__(
        self, inputs: Arrays, size: Size, call: Call, future: asyncio.Future[Answer], remaining: float
    ) -> None:
        self.inputs, self.size, self.call, self.future = inputs, size, call, future
        self.arrived = time.monotonic()
        self.until = self.arrived + remaining
        self.batch: _Batch | None = None


class _Batch:
    """Requests in one execution; the execution is stopped when the last of them is given up."""

    def __init__(self, waiters: Sequence[_Waiter], stop: Stop) -> None:
        self.waiters, self.stop = waiters, stop
        self.started = time.monotonic()
        self._wanted = len(waiters)
        for waiter in waiters:
            waiter.batch = self

    def leave(self) -> None:
        self._wanted -= 1
        if not self._wanted:
            self.stop.terminate = True


class _Outcome(NamedTuple):
    """What came of a batch: the waiters that were still wanted, an answer or an error for each, and the duration."""

    waiters: Sequence[_Waiter]
    answers: Sequence[Answer | KitharaError]
    started: float
    seconds: float


class MicroBatcher:
    """Runs requests together; ``label`` names the model in messages, ``parallel`` bounds executions at once."""

    def __init__(
        self, label: str, graph: Graph, layout: Layout, limits: Limits, model: CostModel, pool: Executor, parallel: int
    ) -> None:
        self._label, self._graph, self._layout, self._limits = label, graph, layout, limits
        self._model, self._pool, self._parallel = model, pool, parallel
        self._loop = asyncio.get_running_loop()
        self._queue: dict[_Waiter, None] = {}
        self._crowd = Crowd(self._loop, self._advance)
        self._deadlines: Deadlines[_Waiter] = Deadlines(self._loop, self._expire)
        self._drain = _DrainRate()
        self._running = self._batches = self._rows = self._rejected = self._expired = self._cancelled = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def infer(self, inputs: Arrays, call: Call) -> Answer:
        """Queue, share an execution, and answer; see ``Engine.infer`` for what is raised."""
        waiter = self._admit(inputs, call)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():  # else the answer, or the error, came first
                self._cancelled += 1
                self._forget(waiter)
            raise
        finally:
            self._deadlines.discard(waiter)

    def _admit(self, inputs: Arrays, call: Call) -> _Waiter:
        if self._closing:
            raise NotReady(f"{self._label} is being closed; ask again")
        remaining = call.remaining(self._limits.deadline)
        if remaining <= 0:
            self._expired += 1
            raise _late(self._label)
        wait = self._drain.seconds(len(self._queue))
        if len(self._queue) >= self._limits.queue or wait > remaining:
            self._rejected += 1
            text = f"{self._label}: {len(self._queue)} requests wait already (limit {self._limits.queue})"
            raise QueueFull(f"{text}; ask again later", retry_after=max(wait, 1.0))
        waiter = _Waiter(inputs, self._layout.size(inputs), call, self._loop.create_future(), remaining)
        self._queue[waiter] = None
        self._deadlines.add(waiter)
        self._idle.clear()
        self._crowd.arrived()
        self._advance()
        return waiter

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.future.done():
            self._expired += 1
            waiter.future.set_exception(_late(self._label))
            self._forget(waiter)

    def _forget(self, waiter: _Waiter) -> None:
        if waiter.batch:
            waiter.batch.leave()
        elif waiter in self._queue:
            del self._queue[waiter]
            self._settle()

    def _advance(self) -> None:
        """Start an execution if one may start and waiting for more requests does not pay."""
        if not self._queue or self._running >= self._parallel:
            return
        if (
            not self._closing
            and len(self._queue) < self._limits.max_rows
            and self._crowd.worth_waiting(len(self._queue))
        ):
            return
        waiters = [waiter for waiter in self._queue if not waiter.future.done()]
        if waiters:
            self._start(waiters)

    def _start(self, waiters: list[_Waiter]) -> None:
        picked = choose([waiter.size for waiter in waiters], self._model, self._limits)
        batch = _Batch([waiters[i] for i in picked], self._graph.stop())
        for waiter in batch.waiters:
            del self._queue[waiter]
        self._running += 1
        future = self._loop.run_in_executor(self._pool, self._execute, batch)
        future.add_done_callback(partial(self._finish, batch))

    def _execute(self, batch: _Batch) -> _Outcome:
        """In a thread: run those still wanted together; if that fails, each alone, so that nobody pays for another."""
        waiters = [waiter for waiter in batch.waiters if not waiter.future.done()]
        started = time.monotonic()
        try:
            answers: Sequence[Answer | KitharaError] = self._run(waiters, batch.stop)
        except Exception as error:
            answers = [_fault(self._label, error)]
            if len(waiters) > 1:
                answers = [self._alone(waiter, batch.stop) for waiter in waiters]
        return _Outcome(waiters, answers, started, time.monotonic() - started)

    def _run(self, waiters: Sequence[_Waiter], stop: Stop) -> list[Answer]:
        if not waiters:
            return []
        sizes = [waiter.size for waiter in waiters]
        merged = self._layout.merge([waiter.inputs for waiter in waiters], sizes)
        return self._layout.split(self._graph.run(merged, stop), sizes)

    def _alone(self, waiter: _Waiter, stop: Stop) -> Answer | KitharaError:
        try:
            return self._graph.run(waiter.inputs, stop)
        except Exception as error:
            return _fault(self._label, error)

    def _finish(self, batch: _Batch, future: asyncio.Future[_Outcome]) -> None:
        self._running -= 1
        for waiter in batch.waiters:
            waiter.batch = None  # no cycle may keep the tensors until the next garbage collection
        if future.cancelled():
            self._abandon(batch.waiters)
            return
        outcome = future.result()
        for waiter, answer in zip(outcome.waiters, outcome.answers, strict=True):
            if waiter.future.done():
                continue
            waiter.call.timing.queue = outcome.started - waiter.arrived
            waiter.call.timing.infer = outcome.seconds
            if isinstance(answer, KitharaError):
                waiter.future.set_exception(answer)
            else:
                waiter.future.set_result(answer)
        self._learn(outcome)
        self._settle()
        self._advance()

    def _learn(self, outcome: _Outcome) -> None:
        self._batches += 1
        if not outcome.waiters:
            return
        load = padded([waiter.size for waiter in outcome.waiters]).load
        self._rows += load.rows
        self._drain.observe(len(outcome.waiters), outcome.started)
        if not any(isinstance(answer, KitharaError) for answer in outcome.answers):
            self._model.observe(load, outcome.seconds)
        overhead = self._model.overhead(load.volume)
        self._crowd.finished(len(outcome.waiters), len(self._queue), outcome.seconds, overhead)

    def _settle(self) -> None:
        if not self._queue and not self._running:
            self._idle.set()

    def stats(self) -> Stats:
        """Counters, cheap enough for every scrape."""
        return Stats(
            len(self._queue), self._running, self._batches, self._rows, self._rejected, self._expired, self._cancelled
        )

    async def close(self) -> None:
        """Refuse new requests, then return when the last accepted one is answered; cancelled, give up those waiting."""
        self._closing = True
        self._advance()
        try:
            await self._idle.wait()
        except asyncio.CancelledError:
            self._abandon(list(self._queue))
            self._queue.clear()
            raise

    def _abandon(self, waiters: Sequence[_Waiter]) -> None:
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(Draining(f"{self._label} is going down; ask another instance"))
        self._settle()


class _DrainRate:
    """Requests answered per second of work, over about the last ten executions."""

    def __init__(self) -> None:
        self._requests = self._seconds = self._last = 0.0
        self._seen = 0

    def observe(self, requests: int, started: float) -> None:
        now = time.monotonic()
        self._requests = 0.9 * self._requests + requests
        self._seconds = 0.9 * self._seconds + now - max(started, self._last)
        self._last = now
        self._seen += 1

    def seconds(self, requests: int) -> float:
        """Until that many requests are answered; 0 while too little is known."""
        return requests * self._seconds / self._requests if self._seen >= ENOUGH else 0.0


def _late(label: str) -> DeadlineExceeded:
    return DeadlineExceeded(f"{label} has no answer within the deadline; ask with a later one, or when it is less busy")


def _fault(label: str, error: Exception) -> BackendFault:
    return BackendFault(f"{label} failed on this input: {str(error).strip() or type(error).__name__}")

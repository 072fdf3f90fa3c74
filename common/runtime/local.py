"""The embedded back end: ONNX Runtime sessions in this process."""

import asyncio
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from types import CoroutineType
from typing import Any

import numpy as np

from common.errors import BackendFault, DeadlineExceeded, NotReady
from common.registry.golden import read_golden
from common.registry.layout import Version
from common.runtime.base import Arrays, Call
from common.runtime.batcher import MicroBatcher, Stats
from common.runtime.batching import Layout
from common.runtime.cost import CostModel, Load
from common.runtime.sessions import Device, OnnxGraph, open_graph
from contracts.models import Limits

INLINE_SECONDS = 0.0003
"""An execution shorter than this is cheaper in the event loop than the way to a thread and back."""
ROUNDS, PATIENCE, MOST_ROWS = 4, 0.05, 64
"""Of the calibration: how often each size is run, the seconds of one run from which on no larger size is tried, and the
largest size at all: what an execution takes in memory stays with the process, and larger ones may never come."""


class LocalEngine:
    """One graph: short requests run at once in the event loop, all others share executions in threads."""

    def __init__(self, version: Version, graph: OnnxGraph, model: CostModel, pool: Executor, parallel: int) -> None:
        self.signature = version.card.signature
        self._label, self._graph = version.label, graph
        self._layout = Layout(self.signature)
        self._batcher = MicroBatcher(version.label, graph, self._layout, version.card.limits, model, pool, parallel)
        self._inline = model.within(INLINE_SECONDS)
        self._inlined = self._inlined_rows = self._late = 0
        self._closed = False

    def infer(self, inputs: Arrays, call: Call) -> "CoroutineType[Any, Any, dict[str, np.ndarray]]":
        """See ``Engine.infer``."""
        load = self._layout.size(inputs).load
        return self._batcher.infer(inputs, call) if load.cost > self._inline else self._at_once(inputs, call, load.rows)

    async def _at_once(self, inputs: Arrays, call: Call, rows: int) -> dict[str, np.ndarray]:
        started = time.monotonic()
        if self._closed:
            raise NotReady(f"{self._label} is closed; ask again")
        if call.deadline is not None and started >= call.deadline:
            self._late += 1
            raise DeadlineExceeded(f"{self._label}: the deadline had passed before the model ran")
        try:
            outputs = self._graph.run(inputs)
        except Exception as error:
            raise BackendFault(f"{self._label} failed on this input: {error}") from error
        call.timing.infer = time.monotonic() - started
        self._inlined += 1
        self._inlined_rows += rows
        return outputs

    def stats(self) -> Stats:
        """Counters since the engine was opened."""
        stats = self._batcher.stats()
        return stats._replace(
            batches=stats.batches + self._inlined,
            rows=stats.rows + self._inlined_rows,
            expired=stats.expired + self._late,
        )

    async def close(self) -> None:
        """See ``Engine.close``."""
        self._closed = True
        await self._batcher.close()


class LocalBackend:
    """Opens graphs on this machine; all of them share ``threads`` threads of one execution each."""

    def __init__(self, threads: int, device: Device) -> None:
        self._threads = threads
        self._device: Device = device
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnx")

    async def open(self, version: Version) -> LocalEngine:
        """See ``Backend.open``; also times the graph on its golden inputs."""
        loop = asyncio.get_running_loop()
        graph, model = await loop.run_in_executor(self._pool, self._load, version)
        return LocalEngine(version, graph, model, self._pool, self._threads)

    def _load(self, version: Version) -> tuple[OnnxGraph, CostModel]:
        graph = open_graph(version, self._device)
        inputs, _ = read_golden(version.golden)
        try:
            return graph, calibrate(graph, Layout(version.card.signature), inputs, version.card.limits)
        except Exception as error:
            raise NotReady(f"{version.label}: the graph fails on its golden inputs: {error}") from error

    async def close(self) -> None:
        """See ``Backend.close``; executions that have not begun are given up."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


def calibrate(graph: OnnxGraph, layout: Layout, inputs: Arrays, limits: Limits) -> CostModel:
    """Costs measured on the first golden row, alone and repeated 2, 4, 8 ... times."""
    row = {name: array[:1] for name, array in inputs.items()}
    volume = layout.size(row).load.volume
    fastest: dict[int, float] = {}
    rows, seconds = 1, 0.0
    most = min(limits.max_rows, MOST_ROWS)
    while rows * volume <= limits.max_cost and rows <= most and seconds < PATIENCE:
        batch = {name: np.repeat(array, rows, axis=0) for name, array in row.items()}
        seconds = fastest[rows] = min(_seconds(graph, batch) for _ in range(ROUNDS))
        rows *= 2
    model = CostModel(limits.max_rows)
    for _ in range(ROUNDS):
        for rows, seconds in fastest.items():
            model.observe(Load(rows, volume), seconds)
    return model


def _seconds(graph: OnnxGraph, inputs: Arrays) -> float:
    started = time.perf_counter()
    graph.run(inputs)
    return time.perf_counter() - started

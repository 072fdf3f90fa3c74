import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from common.errors import BackendFault, DeadlineExceeded, Draining, NotReady, QueueFull
from common.runtime.base import Arrays, Call
from common.runtime.batcher import MicroBatcher
from common.runtime.batching import Layout
from common.runtime.cost import CostModel, Load
from contracts.models import Limits
from contracts.tensors import Signature, Tensor

ROWS = Signature(
    inputs=(Tensor(name="x", dtype="float32", dims=("batch", 1)),),
    outputs=(Tensor(name="y", dtype="float32", dims=("batch", 1)),),
)
RAGGED = Signature(
    inputs=(Tensor(name="x", dtype="float32", dims=("batch", "frames")),),
    outputs=(Tensor(name="y", dtype="float32", dims=("batch", "frames")),),
)


class Gate:
    """A graph (y = 2 x) that stands still until opened, remembers its executions, and fails on negative numbers."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.shuts = False
        """Behind each execution that it lets through."""
        self.entered = threading.Semaphore(0)
        self.executed: list[list[float]] = []
        self.stops: list[SimpleNamespace] = []
        self.seconds = 0.0

    def stop(self) -> SimpleNamespace:
        self.stops.append(SimpleNamespace(terminate=False))
        return self.stops[-1]

    def run(self, inputs: Arrays, stop: object) -> dict[str, np.ndarray]:
        self.entered.release()
        assert self.open.wait(10)
        if self.shuts:
            self.open.clear()
        time.sleep(self.seconds)
        self.executed.append(inputs["x"][:, 0].tolist())
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return {"y": inputs["x"] * 2}


def row(value: float, length: int = 1) -> Arrays:
    return {"x": np.full((1, length), value, np.float32)}


Make = Callable[..., MicroBatcher]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def make(gate: Gate) -> AsyncIterator[Make]:
    pool = ThreadPoolExecutor(1)

    def build(limits: Limits | None = None, signature: Signature = ROWS) -> MicroBatcher:
        limits = limits or Limits()
        return MicroBatcher("m@1", gate, Layout(signature), limits, CostModel(limits.max_rows), pool, 1)

    yield build
    gate.open.set()
    pool.shutdown()


async def waiting(batcher: MicroBatcher, gate: Gate, *values: float) -> list[asyncio.Task[dict[str, np.ndarray]]]:
    """The first value is being executed, the others are queued in order."""
    tasks = [asyncio.create_task(batcher.infer(row(value), Call())) for value in values]
    await asyncio.to_thread(gate.entered.acquire)
    return tasks


async def test_those_who_wait_share_an_execution_and_get_their_own_answer(make: Make, gate: Gate) -> None:
    tasks = await waiting(make(), gate, 1, 2, 3, 4)
    gate.open.set()
    assert [task["y"].tolist() for task in await asyncio.gather(*tasks)] == [[[2]], [[4]], [[6]], [[8]]]
    assert gate.executed == [[1], [2, 3, 4]]


async def test_a_batch_keeps_to_the_row_limit(make: Make, gate: Gate) -> None:
    tasks = await waiting(make(Limits(max_rows=2)), gate, 1, 2, 3, 4)
    gate.open.set()
    await asyncio.gather(*tasks)
    assert gate.executed == [[1], [2, 3], [4]]


async def test_one_more_than_the_queue_holds_is_refused_at_once(make: Make, gate: Gate) -> None:
    batcher = make(Limits(queue=2))
    tasks = await waiting(batcher, gate, 1, 2, 3)
    with pytest.raises(QueueFull) as caught:
        await batcher.infer(row(4), Call())
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1.0
    gate.open.set()
    await asyncio.gather(*tasks)
    assert [2, 3] in gate.executed
    assert batcher.stats().rejected == 1


async def test_a_request_that_cannot_be_in_time_is_refused_early(make: Make, gate: Gate) -> None:
    batcher = make()
    gate.open.set()
    for _ in range(8):
        await batcher.infer(row(0), Call())
        gate.entered.acquire()
    batcher._drain._seconds *= 1e6
    gate.open.clear()
    tasks = await waiting(batcher, gate, 1, 2)
    with pytest.raises(QueueFull):
        await batcher.infer(row(3), Call(deadline=time.monotonic() + 1))
    gate.open.set()
    await asyncio.gather(*tasks)
    assert [3] not in gate.executed


async def test_a_queued_request_whose_deadline_passes_is_not_computed(make: Make, gate: Gate) -> None:
    batcher = make()
    (running,) = await waiting(batcher, gate, 1)
    with pytest.raises(DeadlineExceeded):
        await batcher.infer(row(2), Call(deadline=time.monotonic() + 0.01))
    with pytest.raises(DeadlineExceeded):
        await batcher.infer(row(3), Call(deadline=time.monotonic() - 1))
    gate.open.set()
    await running
    await batcher.close()
    assert gate.executed == [[1]]
    assert batcher.stats().expired == 2


async def test_the_models_own_limit_is_the_latest_deadline(make: Make, gate: Gate) -> None:
    batcher = make(Limits(deadline=0.01))
    (running,) = await waiting(batcher, gate, 1)
    with pytest.raises(DeadlineExceeded):
        await batcher.infer(row(2), Call(deadline=time.monotonic() + 100))
    with pytest.raises(DeadlineExceeded):
        await running


async def test_a_cancelled_request_is_not_computed(make: Make, gate: Gate) -> None:
    batcher = make()
    running, left, stays = await waiting(batcher, gate, 1, 2, 3)
    left.cancel()
    gate.open.set()
    await asyncio.gather(running, stays)
    with pytest.raises(asyncio.CancelledError):
        await left
    assert gate.executed == [[1], [3]]
    assert batcher.stats().cancelled == 1
    assert batcher.stats().rows == 2


async def test_a_place_in_the_queue_is_free_again_after_cancellation(make: Make, gate: Gate) -> None:
    batcher = make(Limits(queue=1))
    running, left = await waiting(batcher, gate, 1, 2)
    left.cancel()
    await asyncio.wait([left])
    third = asyncio.create_task(batcher.infer(row(3), Call()))
    await asyncio.sleep(0)
    gate.open.set()
    assert (await third)["y"].item() == 6
    await running


async def test_an_execution_is_stopped_when_its_last_caller_leaves(make: Make, gate: Gate) -> None:
    batcher = make()
    first, second, third = await waiting(batcher, gate, 1, 2, 3)
    gate.shuts = True
    gate.open.set()
    await first
    await asyncio.to_thread(gate.entered.acquire)
    second.cancel()
    await asyncio.wait([second])
    assert not gate.stops[1].terminate
    third.cancel()
    await asyncio.wait([third])
    assert gate.stops[1].terminate
    gate.open.set()


async def test_one_bad_request_does_not_spoil_its_neighbours(make: Make, gate: Gate) -> None:
    tasks = await waiting(make(), gate, 1, 2, -3, 4)
    gate.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[2], BackendFault)
    assert "negative" in str(answers[2])
    assert [answer["y"].item() for answer in answers if isinstance(answer, dict)] == [2, 4, 8]


async def test_a_long_request_among_a_stream_of_short_ones_is_not_starved(make: Make, gate: Gate) -> None:
    """The oldest is in the next execution, whatever else would be cheaper."""
    batcher = make(Limits(max_rows=4), RAGGED)
    for rows in (1, 4):
        for volume in (1, 400):
            batcher._model.observe(Load(rows, volume), 1e-4 * rows * volume)
    blocker = asyncio.create_task(batcher.infer(row(0), Call()))
    await asyncio.to_thread(gate.entered.acquire)
    long = asyncio.create_task(batcher.infer(row(99, length=400), Call()))
    short = [asyncio.create_task(batcher.infer(row(1), Call())) for _ in range(20)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(blocker, long, *short)
    assert gate.executed[1] == [99]


async def test_close_answers_what_was_accepted_and_refuses_the_rest(make: Make, gate: Gate) -> None:
    batcher = make(Limits(max_rows=2))
    tasks = await waiting(batcher, gate, 1, 2, 3, 4)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(NotReady):
        await batcher.infer(row(5), Call())
    assert not closing.done()
    gate.open.set()
    assert [task["y"].item() for task in await asyncio.gather(*tasks)] == [2, 4, 6, 8]
    await closing


async def test_a_drain_that_takes_too_long_gives_up_those_still_queued(make: Make, gate: Gate) -> None:
    batcher = make()
    running, queued = await waiting(batcher, gate, 1, 2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(batcher.close(), 0.01)
    with pytest.raises(Draining):
        await queued
    gate.open.set()
    assert (await running)["y"].item() == 2


async def test_an_execution_that_never_began_is_given_up_when_the_threads_end(make: Make, gate: Gate) -> None:
    first, second = make(), make()
    (running,) = await waiting(first, gate, 1)
    behind = asyncio.create_task(second.infer(row(2), Call()))
    await asyncio.sleep(0)
    second._pool.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(Draining):
        await behind
    gate.open.set()
    assert (await running)["y"].item() == 2
    assert gate.executed == [[1]]


async def test_callers_who_ask_again_at_once_stay_together(make: Make, gate: Gate) -> None:
    """Closed loop: after the first execution all sixteen share every one."""
    gate.open.set()
    gate.seconds = 0.02
    batcher = make()
    for rows in (1, 2, 16):
        batcher._model.observe(Load(rows, 1), gate.seconds)

    async def caller(value: int) -> None:
        for _ in range(5):
            await batcher.infer(row(value), Call())

    await asyncio.gather(*(caller(value) for value in range(16)))
    sizes = [len(batch) for batch in gate.executed]
    assert sum(sizes) == 80
    assert len(sizes) <= 8


async def test_the_stages_of_a_request_are_timed(make: Make, gate: Gate) -> None:
    batcher, call = make(), Call()
    running = await waiting(batcher, gate, 1)
    queued = asyncio.create_task(batcher.infer(row(2), call))
    await asyncio.sleep(0.02)
    gate.open.set()
    await asyncio.gather(*running, queued)
    assert call.timing.queue >= 0.02
    assert call.timing.infer > 0

"""Work that begins without a task, and the turns it takes."""

import asyncio
from typing import Any

import pytest

from common.http import agenda
from common.http.agenda import Agenda, eagerly


async def test_what_never_waits_is_over_at_once_and_leaves_no_task() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    before = asyncio.all_tasks()
    assert eagerly(work()) is None
    assert done == [1]
    assert asyncio.all_tasks() == before


async def test_what_waits_goes_on_as_a_task_with_its_own_context() -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[Any] = []

    async def work() -> None:
        seen.append(await answer)
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            seen.append(asyncio.current_task())
            await asyncio.sleep(0.001)

    task = eagerly(work())
    assert task is not None
    answer.set_result("a")
    await task
    assert seen == ["a", task]


@pytest.mark.parametrize("begun", [False, True], ids=["before its first step", "while it waits"])
async def test_cancelling_reaches_the_work_which_may_end_in_its_own_way(begun: bool) -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

    task = eagerly(work())
    assert task is not None
    if begun:
        await asyncio.sleep(0.001)
    task.cancel()
    await task
    assert seen == ["cancelled", "cleaned up"]


async def test_errors_come_out_where_the_work_stands() -> None:
    async def work(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        eagerly(work(False))
    task = eagerly(work(True))
    assert task is not None
    with pytest.raises(ValueError, match="no"):
        await task


async def test_everything_begins_in_order_and_the_loop_turns_between_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agenda, "SLICE", 0.0)
    seen: list[str] = []
    todo, loop = Agenda(), asyncio.get_running_loop()
    todo.add(lambda: seen.append("a"))
    todo.add(lambda: seen.append("b"))
    loop.call_soon(seen.append, "loop")
    for _ in range(4):
        await asyncio.sleep(0)
    assert seen == ["a", "loop", "b"]
    todo.add(lambda: seen.append("c"))
    await asyncio.sleep(0)
    assert seen[-1] == "c"

"""Work that begins without a task, and the turns it takes."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from common.http import agenda
from common.http.agenda import Agenda, Steps, eagerly

WHO: ContextVar[str] = ContextVar("who", default="test")


async def test_what_never_waits_is_over_at_once_and_leaves_no_task() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    before = asyncio.all_tasks()
    assert eagerly(work()) is None
    assert done == [1]
    assert asyncio.all_tasks() == before


async def over(steps: Steps | None) -> None:
    assert steps is not None
    ended = asyncio.Event()
    steps.add_done_callback(lambda _: ended.set())
    await ended.wait()


async def test_what_waits_goes_on_in_its_own_context_without_a_task() -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[Any] = []

    async def work() -> None:
        WHO.set("work")
        seen.append(await answer)
        await asyncio.sleep(0)
        seen.append((WHO.get(), asyncio.current_task()))
        await asyncio.sleep(0.001)
        seen.append(WHO.get())

    before = asyncio.all_tasks()
    steps = eagerly(work())
    assert asyncio.all_tasks() == before
    answer.set_result("a")
    await over(steps)
    assert seen == ["a", ("work", None), "work"]
    assert WHO.get() == "test"


@pytest.mark.parametrize("at", ["a future", "a turn of the loop"])
async def test_cancelling_reaches_the_work_which_may_end_in_its_own_way(at: str) -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await (asyncio.get_running_loop().create_future() if at == "a future" else asyncio.sleep(0))
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0.001)
            seen.append("cleaned up")

    steps = eagerly(work())
    assert steps is not None
    assert steps.cancel()
    await over(steps)
    assert seen == ["cancelled", "cleaned up"]
    assert not steps.cancel()


async def test_an_answer_that_came_before_the_cancellation_does_not_undo_it() -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def work() -> None:
        try:
            seen.append(await answer)
        except asyncio.CancelledError:
            seen.append("cancelled")

    steps = eagerly(work())
    assert steps is not None
    answer.set_result("a")
    steps.cancel()  # like a task's: the step that is due raises
    await over(steps)
    assert seen == ["cancelled"]


async def test_errors_come_out_where_the_work_stands() -> None:
    async def work(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        eagerly(work(False))
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    await over(eagerly(work(True)))
    assert [str(context["exception"]) for context in reported] == ["no"]


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

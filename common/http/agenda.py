"""Requests that wait for their turn in the event loop, and how they begin without the price of a task.

A small model answers in less time than a task takes to be made, scheduled and ended. So an inference whose body has
come runs at once up to the point where it must wait; a model that runs in the event loop never does. Whatever waits
goes on as an ordinary task.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from types import coroutine
from typing import Any

SLICE = 0.004
"""Seconds after which the sockets are read again: refusals wait no longer than that behind accepted work."""

Begin = Callable[[], None]


class Agenda:
    """What is let in and not yet begun, in order. Belongs to one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Begin] = deque()
        self._scheduled = False

    def add(self, begin: Begin) -> None:
        """Call ``begin`` soon, after everything that was added before."""
        self._waiting.append(begin)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        until = time.monotonic() + SLICE
        while self._waiting:
            self._waiting.popleft()()
            if time.monotonic() >= until:
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._run)


def eagerly(work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Run ``work`` until it waits; the task that goes on with it, or None when it is over.

    Until it waits it runs outside of any task: there is no ``asyncio.current_task`` and no ``asyncio.timeout``.
    """
    context = copy_context()
    try:
        waiting = context.run(work.send, None)
    except StopIteration:
        return None
    return asyncio.get_running_loop().create_task(_rest(work, waiting), context=context)  # type: ignore[arg-type]


@coroutine
def _rest(work: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, None, None]:
    """``work`` from where it waits for ``waiting``."""
    while True:
        try:
            yield waiting
        except BaseException as error:
            resume, value = work.throw, error
        else:
            resume, value = work.send, None
        try:
            waiting = resume(value)  # type: ignore[arg-type]
        except StopIteration:
            return

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
    return asyncio.get_running_loop().create_task(_Rest(work, waiting), context=context)


class _Rest(Coroutine[Any, Any, None]):
    """``work`` from where it waits for ``waiting``: a task's first step is told that, all others go to the work.

    No generator: a task that is cancelled before its first step would not even enter one, and the work would not hear.
    """

    def __init__(self, work: Coroutine[Any, Any, None], waiting: Any) -> None:
        self._work, self._waiting = work, waiting
        self._told = False

    def send(self, value: Any) -> Any:
        if self._told:
            return self._work.send(value)
        self._told = True
        return self._waiting

    def throw(self, *error: Any) -> Any:
        self._told = True
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._work.__await__()

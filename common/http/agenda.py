"""Requests that wait for their turn in the event loop, and how they begin without the price of a task.

A small model answers in less time than a task takes to be made, scheduled and ended. So an inference whose body has
come runs at once up to the point where it must wait; a model that runs in the event loop never does. Whatever waits
goes on when what it waits for is done, still without a task.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from common.http.hangups import Hangups

SLICE = 0.004
"""Seconds after which the sockets are read again: refusals wait no longer than that behind accepted work."""

Begin = Callable[[], None]


class Agenda:
    """What is let in and not yet begun, in order. Belongs to one event loop."""

    def __init__(self) -> None:
        self.hangups = Hangups()
        """As they stood when the present slice began."""
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
        self.hangups.look()
        while self._waiting:
            self._waiting.popleft()()
            if time.monotonic() >= until:
                break
        self._scheduled = bool(self._waiting)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._run)


def eagerly(work: Coroutine[Any, Any, None]) -> "Steps | None":
    """Run ``work`` until it waits; what goes on with it, or None when it is over.

    All of it runs outside of any task: there is no ``asyncio.current_task`` and no ``asyncio.timeout``.
    """
    steps = Steps(work, copy_context())
    steps.context.run(steps.step)
    return None if steps.over else steps


class Steps:
    """Takes ``work`` from one wait to the next, as a task does at three times the price.

    A task is made, scheduled for a first step of its own, and ends as a future that nobody awaits here.
    """

    __slots__ = ("_ended", "_must_cancel", "_waiting", "_work", "context", "over")

    def __init__(self, work: Coroutine[Any, Any, None], context: Context) -> None:
        self.context = context
        self.over = False
        self._work = work
        self._waiting: asyncio.Future[Any] | None = None
        self._must_cancel = False
        self._ended: Callable[[Steps], object] | None = None

    def add_done_callback(self, ended: Callable[["Steps"], object]) -> None:
        """Call ``ended`` when the work is over; one callable at most, before that."""
        self._ended = ended

    def cancel(self, msg: object = None) -> bool:
        """Raise CancelledError where the work waits, or as soon as it would go on; False when it is over."""
        if self.over:
            return False
        if self._waiting is None or not self._waiting.cancel(msg):
            self._must_cancel = True
        return True

    def step(self, _done: object = None) -> None:
        """Go on up to the next wait. Raises what the work raises: the event loop reports it."""
        self._waiting = None
        try:
            if self._must_cancel:
                self._must_cancel = False
                waiting = self._work.throw(asyncio.CancelledError())
            else:
                waiting = self._work.send(None)
        except StopIteration:
            self._end()
            return
        except BaseException:
            self._end()
            raise
        if waiting is None:  # asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(self.step, context=self.context)
            return
        waiting._asyncio_future_blocking = False  # what a task says to a future that it has begun to wait for
        waiting.add_done_callback(self.step, context=self.context)
        self._waiting = waiting
        if self._must_cancel and waiting.cancel():
            self._must_cancel = False

    def _end(self) -> None:
        self.over = True
        if self._ended is not None:
            self._ended(self)

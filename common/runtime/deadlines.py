"""One timer for the deadlines of many requests.

A timer each would be set and cancelled for every request, though hardly any is ever late.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Due(Protocol):
    """Something with a deadline."""

    until: float
    """``time.monotonic()``"""


T = TypeVar("T", bound=Due)


class Deadlines(Generic[T]):
    """Calls ``late`` with every member whose time has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[T], None]) -> None:
        self._loop, self._late = loop, late
        self._members: dict[T, None] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._next = 0.0

    def add(self, member: T) -> None:
        """Watch a member until it is discarded or late."""
        self._members[member] = None
        if self._alarm is None or member.until < self._next:
            self._set(member.until)

    def discard(self, member: T) -> None:
        """Watch it no longer. The timer stays: most of the time it finds the next ones."""
        self._members.pop(member, None)

    def _set(self, until: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._next = until
        self._alarm = self._loop.call_later(max(0.0, until - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = time.monotonic()
        for member in [member for member in self._members if member.until <= now]:
            del self._members[member]
            self._late(member)
        if self._members and self._alarm is None:
            self._set(min(member.until for member in self._members))

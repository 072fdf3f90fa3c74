"""Results that cost to make: each made once at a time, the latest used of them kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Once(Generic[K, V]):
    """A cache of at most ``room`` units, of which a result takes ``size(result)``; the last one is always kept.

    Whoever asks for what is being made waits for it. It goes on when they leave, for those who ask next.
    """

    def __init__(self, room: int, size: Callable[[V], int]) -> None:
        self._room, self._size = room, size
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._making: dict[K, asyncio.Task[V]] = {}
        self._used = 0

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """What is kept, or what ``make`` returns. Raises what ``make`` raises, and keeps nothing then."""
        found = self.peek(key)
        if found is not None:
            return found
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.ensure_future(self._make(key, make))
            task.add_done_callback(_hear)
        return await asyncio.shield(task)

    def peek(self, key: K) -> V | None:
        """What is kept."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: K, value: V) -> None:
        """Keep a result that was made elsewhere; the longest unused ones give way."""
        if key in self._kept:
            self._used -= self._kept.pop(key)[1]
        size = self._size(value)
        self._kept[key] = value, size
        self._used += size
        while self._used > self._room and len(self._kept) > 1:
            self._used -= self._kept.popitem(last=False)[1][1]

    async def _make(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        try:
            value = await make()
            self.put(key, value)
            return value
        finally:
            del self._making[key]


def _hear(task: asyncio.Task[V]) -> None:
    """An error that nobody waits for any more is no news: whoever asks next meets it."""
    if not task.cancelled():
        task.exception()

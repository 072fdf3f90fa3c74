"""Requests and tokens per minute, spaced evenly, first come first served."""

import asyncio
import time
from collections.abc import Callable

from contracts.llm import Profile


class Limiter:
    """Gives each request its moment. Whoever reserves first goes first, because moments only move forward.

    Even spacing keeps every window of a minute within the limit, whatever window the server counts in. A reservation
    that is not used (its caller was cancelled) is not given back.
    """

    def __init__(self, profile: Profile, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests = profile.requests_per_minute / 60
        self._tokens = profile.tokens_per_minute / 60
        self._next = float("-inf")
        """When the next request may start, by ``clock``."""

    def reserve(self, tokens: int) -> float:
        """Seconds to wait before sending a request that may use ``tokens``, prompt and largest completion together."""
        now = self._clock()
        start = max(now, self._next)
        spacing = (1 / self._requests if self._requests else 0.0, tokens / self._tokens if self._tokens else 0.0)
        self._next = start + max(spacing)
        return start - now

    async def acquire(self, tokens: int) -> None:
        if (wait := self.reserve(tokens)) > 0:
            await asyncio.sleep(wait)

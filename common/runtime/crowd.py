"""Whether to wait for callers who are about to come back, before the next execution starts.

Callers that ask again as soon as they are answered come in a convoy: started at once, executions of 1 and of n - 1
requests alternate, and each pays the fixed part of the cost. So after an execution that left more than one caller
about, the next one waits as long as they keep returning. A lone caller never waits.
"""

import asyncio
import time
from collections.abc import Callable

QUIET = 0.25
"""Waiting ends when no request came for this part of an execution's fixed cost..."""
PATIENCE = 2.0
"""...or after this many times the fixed cost altogether."""

ENOUGH = 2
"""So many times the callers of the last execution are enough for a good next one: nobody waits for more."""


class Crowd:
    """Counts the callers about; ``resume`` is called when waiting ends by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resume: Callable[[], None]) -> None:
        self._loop, self._resume = loop, resume
        self._size = 0
        self._until = self._overhead = 0.0
        self._arrivals = 0
        self._since = 0.0
        self._pause: asyncio.Handle | None = None

    def finished(self, answered: int, queued: int, seconds: float, overhead: float) -> None:
        """An execution ended: who was in it, who waits now; it took ``seconds``, of which ``overhead`` fixed."""
        self._size = min(answered + queued, ENOUGH * answered)
        self._until = time.monotonic() + seconds
        self._overhead = overhead

    def arrived(self) -> None:
        """A request came."""
        self._arrivals += 1

    def worth_waiting(self, queued: int) -> bool:
        """True while the callers of the last execution are still coming back."""
        if queued >= self._size or self._size < 2 or (self._pause is None and time.monotonic() > self._until):
            self._end()
            return False
        if self._pause is None:
            self._since = time.monotonic()
            # First the callers just answered get the loop, so that they can return before the clock runs.
            self._pause = self._loop.call_soon(self._listen)
        return True

    def _listen(self) -> None:
        self._arrivals = 0
        self._pause = self._loop.call_later(QUIET * self._overhead, self._tick)

    def _tick(self) -> None:
        if self._arrivals and time.monotonic() - self._since < PATIENCE * self._overhead:
            self._listen()
        else:
            self._end()
            self._resume()

    def _end(self) -> None:
        self._size = 0
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

"""Who is let in: bounded work at once, a rate per client, nobody once the process goes down."""

import time
from collections import Counter

from common.errors import Draining, KitharaError, QueueFull, TooMany

MAX_CLIENTS = 65_536
"""Addresses remembered by the rate limit."""

BUSY = QueueFull("as many requests as this process takes are being answered; ask again after Retry-After")
CLOSED = Draining("the process is going down; ask again after Retry-After, another one answers")


class RateLimit:
    """A leaky bucket per client (the generic cell rate algorithm): one number each."""

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._burst = max(1.0, self._interval)
        self._free_at: dict[str, float] = {}

    def wait(self, client: str, now: float) -> float:
        """Seconds until this client may ask again; 0 when it may now, which is then counted."""
        free_at = max(self._free_at.get(client, now), now) + self._interval
        if free_at - now > self._burst + 1e-9:
            return free_at - now - self._burst
        if client not in self._free_at and len(self._free_at) >= MAX_CLIENTS:
            self._forget(now)
        self._free_at[client] = free_at
        return 0.0

    def _forget(self, now: float) -> None:
        self._free_at = {client: at for client, at in self._free_at.items() if at > now}
        while len(self._free_at) >= MAX_CLIENTS:
            del self._free_at[next(iter(self._free_at))]


class Gate:
    """Decides on each request before its body is read. Belongs to one event loop."""

    def __init__(self, in_flight: int, rate_limit: float) -> None:
        self.limit = in_flight
        self.in_flight = 0
        """Requests that are being answered."""
        self.taken = 0
        """These, and those that the server has let in and not yet begun."""
        self.leaving = False
        """Still serving, no longer ready."""
        self.closed = False
        """Nothing new is admitted."""
        self.refused: Counter[str] = Counter()
        """Requests refused so far, by slug."""
        self._rate = RateLimit(rate_limit) if rate_limit else None

    def refusal(self, client: str) -> KitharaError | None:
        """Why this request is not taken, or None."""
        error: KitharaError | None = None
        if self.closed:
            error = CLOSED
        elif self._rate is not None and (wait := self._rate.wait(client, time.monotonic())):
            error = TooMany(f"this client asks too often; ask again in {wait:.3g} s", retry_after=wait)
        elif self.in_flight >= self.limit:
            error = BUSY
        if error is not None:
            self.refused[error.slug] += 1
        return error

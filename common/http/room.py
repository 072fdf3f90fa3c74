"""Memory for uploads: large bodies are let in while there is room for them, whatever the number of requests."""

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import QueueFull
from common.http.exchange import exchange

RETRY_SECONDS = 2.0


class Room:
    """At most ``total`` bytes of bodies at once."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.taken = 0

    @contextmanager
    def held(self, request: object, most: int) -> Iterator[None]:
        """Around the reading and the use of a body of at most ``most`` bytes. Raises QueueFull, before any is read.

        A body counts as long as its head states; one that states no length counts as the longest.
        """
        ex = exchange(request)
        stated = ex.headers.get(b"content-length", b"")
        size = min(int(stated), most) if stated.isdigit() else most
        if self.taken + size > self._total:
            ex.closing = True  # nobody reads what may still come
            raise QueueFull("uploads of others fill the memory that is kept for them", retry_after=RETRY_SECONDS)
        self.taken += size
        try:
            yield
        finally:
            self.taken -= size

"""Which callers have hung up, though what they sent before has not been read to the end."""

import select

_HANGUP = getattr(select, "EPOLLRDHUP", 0)
"""Linux tells that the other side has closed before its last bytes are read; elsewhere nobody is known to have left."""


class Hangups:
    """Asks about all connections in one system call: one for each request costs as much as parsing it."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if _HANGUP else None
        self._left: set[int] = set()

    def watch(self, descriptor: int) -> None:
        """Know of this socket until it is closed, which ends the watch by itself."""
        if self._epoll is not None:
            self._epoll.register(descriptor, _HANGUP)

    def look(self) -> None:
        """Find out how things stand now."""
        if self._epoll is not None:
            self._left = {descriptor for descriptor, _ in self._epoll.poll(0)}

    def __contains__(self, descriptor: int) -> bool:
        """Whether the caller on this socket had left at the last look."""
        return descriptor in self._left

"""A load client that costs far less than the server it measures: prebuilt requests, raw sockets, one epoll loop.

Only for 127.0.0.1. Bodies are kept and compared after the clock has stopped.
"""

import gc
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import NamedTuple

import numpy as np

from deploy.bench.answers import Answer, parse

HOST = "127.0.0.1"
MOST_CONNECTIONS = 1024
MOST_REQUESTS = 2_000_000
DRAIN_SECONDS = 3.0
"""After the last request was sent: how long open answers may still take."""
_READ = 262_144


class Sample(NamedTuple):
    """One request and its answer."""

    request: int
    """Index of the request that was sent."""
    due: float
    """``time.perf_counter()`` at which it was sent (closed loop) or should have been (open loop)."""
    seconds: float
    answer: Answer


class Result(NamedTuple):
    """What one load run saw."""

    samples: list[Sample]
    seconds: float
    """Length of the window in which requests were due."""
    unsent: int
    """Due, but all connections were busy until the end."""
    unanswered: int
    broken: int
    """The server closed the connection instead of answering."""


class Connection:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("buffer", "due", "request", "rest", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((HOST, port))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.rest: memoryview | None = None
        """What the kernel did not take yet."""
        self.request = -1
        """Index of the request under way; -1 when idle."""
        self.due = 0.0

    def start(self, request: int, data: bytes, due: float) -> bool:
        """Send; False when some of it must wait until the socket is writable."""
        self.request, self.due = request, due
        return self._write(memoryview(data))

    def flush(self) -> bool:
        """Send what was left; False while some of it must wait."""
        return self.rest is None or self._write(self.rest)

    def _write(self, data: memoryview) -> bool:
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except (ConnectionResetError, BrokenPipeError):
            sent = len(data)  # the read side will report the end
        self.rest = data[sent:] if sent < len(data) else None
        return self.rest is None

    def read(self) -> Answer | None:
        """The answer once it is whole. Raises ConnectionError when the server hung up, BadAnswer."""
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("closed by the server")
        self.buffer = self.buffer + data if self.buffer else data
        found = parse(self.buffer)
        if found is None:
            return None
        answer, used = found
        self.buffer = self.buffer[used:]
        return answer


class Client:
    """Runs load against one port. ``requests`` are whole HTTP requests, sent in turn."""

    def __init__(self, port: int, requests: Sequence[bytes], connections: int) -> None:
        if not 1 <= connections <= MOST_CONNECTIONS:
            raise ValueError(f"connections must be 1 to {MOST_CONNECTIONS}, got {connections}")
        self._port, self._requests = port, requests
        self._next = cycle(range(len(requests)))
        self._epoll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._samples: list[Sample] = []
        self._broken = 0
        for _ in range(connections):
            self._connect()

    def closed(self, seconds: float, warm: float = 0.2) -> Result:
        """Each connection sends its next request when the last is answered. The first ``warm`` seconds do not count."""
        with _without_collector():
            start = time.perf_counter() + warm
            end = start + seconds
            self._fill(time.perf_counter())
            while (now := time.perf_counter()) < end and len(self._samples) < MOST_REQUESTS:
                self._turn(min(1.0, end - now))
                self._fill(time.perf_counter())
            counted = [s for s in self._samples if start <= s.due + s.seconds < end]
            self._drain()
        return Result(counted, seconds, 0, self._busy(), self._broken)

    def greet(self, request: bytes) -> None:
        """One answer on each connection, not counted: the server has accepted them all when this returns."""
        for connection in self._idle:
            connection.start(0, request, time.perf_counter())
        self._idle.clear()
        self._drain()
        self._samples.clear()

    def opened(self, times: Sequence[float], seconds: float) -> Result:
        """Requests become due at ``times`` (seconds from now, ascending), whatever the server does.

        One that finds every connection busy waits here for the first that is free, and its latency counts from when
        it was due.
        """
        if len(times) > MOST_REQUESTS:
            raise ValueError(f"at most {MOST_REQUESTS} requests, got {len(times)}")
        waiting: deque[float] = deque()
        with _without_collector():
            start = time.perf_counter()
            end, due, at = start + seconds, iter(times), 0.0
            at = next(due, np.inf)
            while (now := time.perf_counter()) < end:
                while start + at <= now:
                    waiting.append(start + at)
                    at = next(due, np.inf)
                while waiting and self._idle:
                    self._send(self._idle.pop(), waiting.popleft())
                # epoll counts whole milliseconds: nearer than that, ask without waiting.
                ahead = min(start + at, end) - time.perf_counter()
                self._turn(ahead if ahead > 0.0015 else 0.0)
            self._drain()
        return Result(self._samples, seconds, len(waiting), self._busy(), self._broken)

    def close(self) -> None:
        """Close every connection, whatever is under way."""
        for connection in self._open.values():
            connection.socket.close()
        self._epoll.close()

    def _connect(self) -> None:
        connection = Connection(self._port)
        self._open[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
        self._idle.append(connection)

    def _fill(self, now: float) -> None:
        while self._idle:
            self._send(self._idle.pop(), now)

    def _send(self, connection: Connection, due: float) -> None:
        request = next(self._next)
        if not connection.start(request, self._requests[request], due):
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def _turn(self, timeout: float) -> None:
        """Wait for and take what the sockets have."""
        for fd, event in self._epoll.poll(timeout):
            connection = self._open[fd]
            if event & select.EPOLLOUT and connection.flush():
                self._epoll.modify(fd, select.EPOLLIN)
            if event & ~select.EPOLLOUT:
                self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            answer = connection.read()
        except ConnectionError:
            self._broken += connection.request >= 0
            self._replace(connection)
            return
        if answer is None:
            return
        now = time.perf_counter()
        self._samples.append(Sample(connection.request, connection.due, now - connection.due, answer))
        connection.request = -1
        if answer.closes:
            self._replace(connection)
        else:
            self._idle.append(connection)

    def _replace(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        del self._open[connection.socket.fileno()]
        self._epoll.unregister(connection.socket.fileno())
        connection.socket.close()
        self._connect()

    def _busy(self) -> int:
        return len(self._open) - len(self._idle)

    def _drain(self) -> None:
        until = time.perf_counter() + DRAIN_SECONDS
        while self._busy() and (left := until - time.perf_counter()) > 0:
            self._turn(left)


def leave(port: int, requests: Sequence[bytes], stay: float) -> int:
    """Send each request on a connection of its own and close all of them ``stay`` seconds later.

    How many had been answered by then.
    """
    connections = [Connection(port) for _ in requests]
    for i, (connection, data) in enumerate(zip(connections, requests, strict=True)):
        connection.start(i, data, 0.0)
    time.sleep(stay)
    answered = 0
    for connection in connections:
        with suppress(ConnectionError):
            answered += connection.read() is not None
        connection.socket.close()
    return answered


def ask(port: int, request: bytes, timeout: float = 10.0) -> Answer:
    """One request on a fresh connection. Raises OSError, BadAnswer."""
    with socket.create_connection((HOST, port), timeout) as connection:
        connection.sendall(request)
        data = b""
        while (found := parse(data)) is None:
            more = connection.recv(_READ)
            if not more:
                raise ConnectionResetError("closed by the server")
            data += more
    return found[0]


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times in [0, seconds) of a Poisson process with ``rate`` per second."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1.0 / rate, int(rate * seconds * 1.2) + 100))
    return times[times < seconds].tolist()


@contextmanager
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

"""The client against a small threaded server of our own, on real sockets."""

import socketserver
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from deploy.bench.answers import get_request
from deploy.bench.client import MOST_CONNECTIONS, Client, ask, leave, poisson


class Handler(socketserver.BaseRequestHandler):
    """Answers ``GET /n`` with its path; ``/slow`` after 50 ms, ``/busy`` with 503, ``/bye`` by hanging up."""

    def handle(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = self.request.recv(65536)
                if not more:
                    server.left += 1
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            path = head.split(b" ")[1]
            server.seen.append(path)
            if path == b"/bye":
                return
            if path == b"/slow":
                time.sleep(0.05)
            status = b"503 Service Unavailable\r\nretry-after: 2" if path == b"/busy" else b"200 OK"
            if path == b"/chunks":
                answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                for part in (answer, b"3\r\nabc", b"\r\n2\r\nde\r", b"\n0\r\n\r\n"):
                    self.request.sendall(part)
                    time.sleep(0.002)
                continue
            self.request.sendall(b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(path), path))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[bytes] = []
        self.left = 0

    @property
    def port(self) -> int:
        return self.server_address[1]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def test_closed_loop_sends_all_requests_in_turn_and_matches_the_answers(server: Server) -> None:
    paths = [b"/0", b"/1", b"/busy", b"/chunks"]
    client = Client(server.port, [get_request(path.decode()) for path in paths], connections=3)
    result = client.closed(0.3, warm=0.0)
    client.close()
    assert result.broken == result.unanswered == 0
    assert {(s.request, s.answer.status, s.answer.body) for s in result.samples} == {
        (0, 200, b"/0"),
        (1, 200, b"/1"),
        (2, 503, b"/busy"),
        (3, 200, b"abcde"),
    }
    counts = np.bincount([s.request for s in result.samples])
    assert counts.max() - counts.min() <= 6
    assert all(s.seconds > 0 for s in result.samples)


def test_open_loop_counts_the_wait_for_a_free_connection(server: Server) -> None:
    client = Client(server.port, [get_request("/slow")], connections=1)
    result = client.opened([0.0, 0.0, 0.0, 0.0], seconds=0.13)
    client.close()
    latencies = [s.seconds for s in result.samples]
    assert len(latencies) + result.unsent == 4
    assert result.unsent >= 1
    assert latencies == sorted(latencies)
    assert all(seconds >= 0.05 * (i + 1) for i, seconds in enumerate(latencies))


def test_open_loop_keeps_to_its_schedule(server: Server) -> None:
    times = [0.0, 0.1, 0.11, 0.25]
    client = Client(server.port, [get_request("/x")], connections=4)
    result = client.opened(times, seconds=0.3)
    client.close()
    due = sorted(s.due for s in result.samples)
    np.testing.assert_allclose(np.subtract(due, due[0]), times, atol=1e-9)
    assert result.unsent == result.unanswered == 0


def test_a_greeting_reaches_every_connection_and_is_not_counted(server: Server) -> None:
    client = Client(server.port, [get_request("/x")], connections=3)
    client.greet(get_request("/hello"))
    assert server.seen == [b"/hello"] * 3
    result = client.opened([0.0], seconds=0.05)
    client.close()
    assert [s.answer.body for s in result.samples] == [b"/x"]


def test_a_connection_that_the_server_closes_is_counted_and_replaced(server: Server) -> None:
    client = Client(server.port, [get_request("/bye"), get_request("/x")], connections=1)
    result = client.opened([0.0, 0.05, 0.1, 0.15], seconds=0.3)
    client.close()
    assert result.broken == 2
    assert [s.answer.body for s in result.samples] == [b"/x", b"/x"]


def test_leavers_send_and_hang_up(server: Server) -> None:
    assert leave(server.port, [get_request("/slow")] * 5, stay=0.01) == 0
    until = time.monotonic() + 5
    while server.left < 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert server.seen == [b"/slow"] * 5
    assert server.left == 5


def test_leavers_know_who_was_answered_before_and_survive_who_hung_up(server: Server) -> None:
    assert leave(server.port, [get_request("/x"), get_request("/slow"), get_request("/bye")], stay=0.3) == 2


def test_ask_returns_one_answer(server: Server) -> None:
    answer = ask(server.port, get_request("/busy"))
    assert (answer.status, answer.header(b"retry-after"), answer.body) == (503, b"2", b"/busy")


@pytest.mark.parametrize("connections", [0, MOST_CONNECTIONS + 1])
def test_connections_are_bounded(connections: int) -> None:
    with pytest.raises(ValueError, match="connections must be"):
        Client(1, [b""], connections)


def test_poisson_arrivals_have_the_rate_and_the_spread() -> None:
    times = np.array(poisson(2000.0, 5.0, seed=3))
    gaps = np.diff(times)
    assert (gaps >= 0).all()
    assert 0 <= times[0] < times[-1] < 5.0
    assert abs(len(times) - 10_000) < 4 * 100
    assert abs(gaps.std() / gaps.mean() - 1.0) < 0.05

"""One connection at a time, byte by byte: what the server writes, what it counts, and what it never computes."""

import gc
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from common.http import protocol
from common.http.admission import Gate
from common.http.cycle import Cycle

BODY = json.dumps({"inputs": [{"name": "in_float32", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}).encode()
BAD = BODY.replace(b"FP32", b"FP99")


def request(body: bytes = BODY, headers: str = "", method: str = "POST") -> bytes:
    head = f"{method} /v2/models/echo/infer HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def until(true, seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


class Peer:
    """A raw connection; ``answer`` reads one whole answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        status = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            headers[name] = value.strip()
        length = int(headers.get("content-length", 0)) if body else 0
        return status, headers, self.file.read(length)


@contextmanager
def peer(port: int) -> Iterator[Peer]:
    made = Peer(port)
    try:
        yield made
    finally:
        made.file.close()
        made.socket.close()


def test_pipelined_requests_are_answered_in_order_on_one_connection(suite) -> None:
    for seconds in (0.0, 0.02):  # at once, and as tasks
        with suite(seconds=seconds).served() as port, peer(port) as one:
            one.send(request() + get("/t/json", "OPTIONS") + request(BAD) + request() + get("/v2/models/echo"))
            assert [one.answer()[0] for _ in range(5)] == [200, 204, 400, 200, 200]
            one.send(request())
            assert one.answer()[0] == 200


def test_a_request_in_pieces_is_answered_as_one_that_came_whole(suite) -> None:
    varying = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")
    with suite().served() as port, peer(port) as one:
        for body in (BODY, BAD, b"", b"{", BODY.replace(b"1.0", b"NaN"), BODY.replace(b"echo", b"none")):
            data, found = request(body), []
            for cut in {len(data), len(data) - 1, 20, data.index(b"\r\n\r\n") + 4}:
                one.send(data[:cut])
                time.sleep(0.01)
                one.send(data[cut:])
                status, headers, answer = one.answer()
                for name in ("date", "x-request-id", "server-timing"):
                    assert headers.pop(name)
                found.append((status, headers, varying.sub("id", answer.decode())))
            assert all(other == found[0] for other in found)


def test_chunked_bodies_and_expectations(suite) -> None:
    with suite().served() as port, peer(port) as one:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:9], BODY[9:])) + b"0\r\n\r\n"
        one.send(request(b"", "transfer-encoding: chunked\r\n").replace(b"content-length: 0\r\n", b"") + chunks)
        assert one.answer()[0] == 200
        head, _, body = request(BODY, "expect: 100-continue\r\n").partition(b"\r\n\r\n")
        one.send(head + b"\r\n\r\n")
        assert one.answer()[0] == 100
        one.send(body)
        assert one.answer()[0] == 200


def test_head_and_closing(suite) -> None:
    with suite().served() as port, peer(port) as one:
        one.send(get("/v2/models/echo", "HEAD"))
        status, headers, _ = one.answer(body=False)
        assert (status, int(headers["content-length"]) > 0) == (200, True)
        one.send(request(headers="connection: close\r\n"))
        status, headers, _ = one.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert one.file.read() == b""


def test_as_many_callers_as_places_are_never_refused(suite) -> None:
    statuses: list[int] = []

    def caller(port: int) -> None:
        with peer(port) as one:
            for i in range(150):
                one.send(request() if i % 3 else get("/t/empty"))
                statuses.append(one.answer()[0])

    made = suite(in_flight=4)
    with made.served() as port:
        callers = [threading.Thread(target=caller, args=(port,)) for _ in range(4)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join()
        assert set(statuses) == {200, 204} or set(statuses) == {200}
        assert len(statuses) == 600
        assert until(lambda: made.app.gate.taken == 0)
    assert not made.app.gate.refused


def test_a_plain_refusal_equals_the_parsed_one_and_keeps_the_connection(suite) -> None:
    made = suite(seconds=0.3, in_flight=1)
    with made.served() as port, peer(port) as busy, peer(port) as one:
        busy.send(request())
        assert until(lambda: made.app.gate.taken == 1)
        one.send(request())
        plain = one.answer()
        one.send(request(headers="x-request-id: mine\r\n"))
        parsed = one.answer()
        assert parsed[1].pop("x-request-id") == "mine"
        assert re.fullmatch("[0-9a-f]+-[0-9a-f]+", plain[1].pop("x-request-id"))
        assert plain == parsed
        assert (plain[0], plain[1]["retry-after"]) == (503, "1")
        assert busy.answer()[0] == 200
        one.send(request())
        assert one.answer()[0] == 200
    assert made.app.gate.refused["queue-full"] == 2


def test_the_rest_of_a_request_is_no_refusal_of_its_own(suite) -> None:
    made = suite(seconds=0.2, in_flight=2)
    with made.served() as port, peer(port) as first, peer(port) as second:
        inner = request()
        outer = request(inner)
        first.send(outer[: -len(inner)])  # taken; its body will look like a request
        second.send(request())
        assert until(lambda: made.app.gate.taken == 2)
        first.send(inner)
        assert first.answer()[0] == 400
        assert second.answer()[0] == 200


def test_what_a_caller_that_left_had_asked_is_not_computed(suite) -> None:
    """Their requests and their leaving reach a loop that is busy with another inference: both are read at once."""
    started = threading.Event()

    def run(inputs: Any) -> dict[str, np.ndarray]:
        started.set()
        time.sleep(0.2)
        return {"out_float32": inputs["in_float32"]}

    made = suite()
    made.models.run = run
    with made.served() as port, peer(port) as blocking:
        leaving = [Peer(port) for _ in range(3)]
        for one in leaving:
            one.send(get("/livez"))
            assert one.answer()[0] == 200
        blocking.send(request())
        assert started.wait(3)
        for one in leaving:
            one.send(request())
            one.file.close()
            one.socket.close()
        assert blocking.answer()[0] == 200
        assert until(lambda: made.app.gate.taken == 0)
        blocking.send(request())
        assert blocking.answer()[0] == 200
    assert len(made.models.calls) == 2


def test_served_requests_leave_nothing_to_the_garbage_collector(suite) -> None:
    with suite().served() as port, peer(port) as one:
        found: list[int] = []
        for data in (request(), request(BAD), get("/v2/models/echo")):
            one.send(data)
            one.answer()
            gc.collect()
            gc.disable()
            try:
                for _ in range(100):
                    one.send(data)
                    one.answer()
                found.append(gc.collect())
            finally:
                gc.enable()
    assert max(found) < 100, found


def test_one_timer_closes_a_connection_that_is_idle_and_no_other(suite) -> None:
    with suite(seconds=0.0, keep_alive_seconds=1).served() as port, peer(port) as one, peer(port) as late:
        late.send(request()[:20])  # half a request is no idleness, however long it takes
        for _ in range(4):
            one.send(request())
            assert one.answer()[0] == 200
            time.sleep(0.4)
        one.socket.settimeout(10)
        assert one.file.read() == b""
        late.send(request()[20:])
        assert late.answer()[0] == 200


def test_idle_is_measured_from_the_last_answer_or_refusal() -> None:
    closed: list[bool] = []
    later: list[float] = []
    loop = SimpleNamespace(time=lambda: 100.0, call_later=lambda delay, call: later.append(delay))
    transport = SimpleNamespace(is_closing=lambda: False, close=lambda: closed.append(True))
    one = protocol.Protocol.__new__(protocol.Protocol)
    one.loop, one.transport, one.timeout_keep_alive = loop, transport, 30  # type: ignore[assignment]
    one._parsing, one.cycle = False, None  # type: ignore[assignment]
    one._idle_since = 80.0
    one.timeout_keep_alive_handler()
    assert (later, closed) == ([10.0], [])
    one._idle_since, one._parsing = 70.0, True
    one.timeout_keep_alive_handler()
    assert (later, closed, one.timeout_keep_alive_task) == ([10.0], [], None)
    one._parsing = False
    one.timeout_keep_alive_handler()
    assert (later, closed) == ([10.0], [True])


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None: ...


def cycle(transport: Transport, method: str = "GET", keep_alive: bool = True) -> Cycle:
    event = SimpleNamespace(set=lambda: None)
    made = RequestResponseCycle(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=transport,  # type: ignore[arg-type]
        flow=SimpleNamespace(write_paused=False),  # type: ignore[arg-type]
        logger=None,  # type: ignore[arg-type]
        access_logger=None,  # type: ignore[arg-type]
        access_log=False,
        default_headers=[(b"date", b"now")],
        message_event=event,  # type: ignore[arg-type]
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    return Cycle.of(made, Gate(1, 0.0))


async def respond(one: Any, start: dict[str, Any], *bodies: bytes) -> None:
    await one.send({"type": "http.response.start", **start})
    for i, body in enumerate(bodies):
        await one.send({"type": "http.response.body", "body": body, "more_body": i < len(bodies) - 1})


@pytest.mark.parametrize(
    ("start", "bodies", "method", "writes"),
    [
        ({"status": 200, "headers": [(b"content-length", b"2")]}, [b"ab"], "GET", 1),
        ({"status": 204, "headers": []}, [b""], "GET", 1),
        ({"status": 204}, [b""], "GET", 1),
        ({"status": 200, "headers": [(b"content-length", b"2")]}, [b"a", b"b"], "GET", 3),
        ({"status": 200, "headers": []}, [b"ab"], "GET", 2),
        ({"status": 200, "headers": [(b"content-length", b"2")]}, [b""], "HEAD", 1),
        ({"status": 200, "headers": [(b"content-length", b"2"), (b"connection", b"close")]}, [b"ab"], "GET", 2),
    ],
)
async def test_one_write_and_the_bytes_that_uvicorn_writes(start, bodies, method: str, writes: int) -> None:
    ours, theirs = Transport(), Transport()
    await respond(cycle(ours, method), start, *bodies)
    usual = cycle(theirs, method)
    usual.__class__ = RequestResponseCycle  # type: ignore[assignment]
    await respond(usual, start, *bodies)
    assert b"".join(ours.written) == b"".join(theirs.written)
    assert len([data for data in ours.written if data]) == writes


async def test_a_whole_answer_is_the_bytes_of_its_two_messages() -> None:
    headers, ours, theirs = [(b"x", b"y"), (b"content-length", b"2")], Transport(), Transport()
    assert cycle(ours).whole(200, headers, b"ab")
    await respond(cycle(theirs), {"status": 200, "headers": headers}, b"ab")
    assert ours.written == theirs.written


@pytest.mark.parametrize(
    "headers", [[(b"connection", b"close"), (b"content-length", b"2")], [(b"content-length", b"3")]]
)
async def test_what_cannot_be_written_whole_is_left_to_send(headers: list[tuple[bytes, bytes]]) -> None:
    transport = Transport()
    one = cycle(transport)
    assert not one.whole(200, headers, b"ab")
    assert not transport.written
    assert not one.response_started
    assert not cycle(transport, keep_alive=False).whole(200, [(b"content-length", b"2")], b"ab")


@pytest.mark.parametrize("value", [b"a\r\nx: y", b"a\nx: y", b"a\rb"])
async def test_a_header_cannot_forge_another(value: bytes) -> None:
    transport = Transport()
    with pytest.raises(RuntimeError, match="header"):
        await respond(cycle(transport), {"status": 200, "headers": [(b"content-length", b"0"), (b"x", value)]}, b"")
    assert not transport.written


async def test_a_body_of_another_length_than_stated_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="shorter"):
        await respond(cycle(Transport()), {"status": 200, "headers": [(b"content-length", b"3")]}, b"ab")

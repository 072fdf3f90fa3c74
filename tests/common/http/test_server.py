"""On a real socket: refusals before the body, callers that leave, and an end that loses nothing."""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from common.errors import OperatorError
from common.http.server import run

HEAD = b"GET /t/slow HTTP/1.1\r\nhost: x\r\n\r\n"
INFER = {"inputs": [{"name": "in_float32", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}]}


def until(true, seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


@pytest.mark.parametrize(("path", "media"), [("/t/slow", "application/problem+json"), ("/v2", "application/json")])
def test_early_refusal_equals_the_applications_own(suite, path: str, media: str) -> None:
    made = suite(seconds=1.0, in_flight=1)
    with made.served() as port, socket.create_connection(("127.0.0.1", port)) as busy:
        busy.sendall(HEAD)
        assert until(lambda: made.app.gate.in_flight == 1)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            early = client.post(path, content=b"x" * 10_000, headers={"x-request-id": "r"})
            again = client.post(path, content=b"y" * 10_000, headers={"x-request-id": "r"})
            usual = client.post(path, content=b"x", headers={"x-request-id": "r", "expect": "100-continue"})
            live = client.get("/livez")
    assert early.status_code == again.status_code == usual.status_code == 503
    assert live.status_code == 200
    assert early.json() == again.json() == usual.json()
    for name in ("content-type", "retry-after", "x-request-id", "content-length"):
        assert early.headers[name] == usual.headers[name]
    assert early.headers["content-type"] == media
    assert made.app.gate.refused["queue-full"] == 3


def test_early_refusal_closes_when_asked_and_invents_ids(suite) -> None:
    made = suite(seconds=1.0, in_flight=1)
    with made.served() as port, socket.create_connection(("127.0.0.1", port)) as busy:
        busy.sendall(HEAD)
        assert until(lambda: made.app.gate.in_flight == 1)
        with socket.create_connection(("127.0.0.1", port), timeout=3) as connection:
            connection.sendall(b'GET /a"b?c=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: a b\r\n\r\n')
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert b"connection: close" in head
    assert problem["instance"] == '/a"b'
    assert f"x-request-id: {problem['request_id']}".encode() in head


def test_work_for_a_caller_that_left_is_cancelled(suite) -> None:
    made = suite(seconds=30.0)
    body = json.dumps(INFER).encode()
    head = f"POST /v2/models/echo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with made.served() as port:
        for request in (head + body, HEAD, head):  # computing, in a handler, still sending the body
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(request)
                assert until(lambda: made.app.gate.in_flight == 1)
            assert until(lambda: made.app.gate.in_flight == 0)
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert made.models.cancelled == 1
    left = re.findall(r'request_seconds_count\{.*route="([^"]*)",status="499"\} (.*)', metrics)
    assert sorted(left) == [("/t/slow", "1.0"), ("/v2/models/{model_name}/infer", "2.0")]
    assert made.models.stopped == made.settings.drain_seconds


def test_taken_port_is_the_operators_business(suite, json_logs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, json_logs() as lines:
        made = suite(port=taken.getsockname()[1])
        with pytest.raises(OperatorError, match="take another --port"):
            run(made.app, made.settings)
        assert any("address already in use" in line["event"] for line in lines())


SERVE = """
import sys
sys.path.insert(0, {folder!r})
from conftest import make_suite
from common.http.server import run
made = make_suite(seconds=0.05, unready_seconds=0.6, drain_seconds=5.0, port={port}, in_flight=64)
run(made.app, made.settings)
print("stopped", made.models.stopped)
"""


async def test_no_request_is_lost_when_the_process_goes_down(request) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = SERVE.format(folder=str(request.path.parent), port=port)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        await wait_until_ready(url)
        statuses, lost = await load_through_shutdown(url, process)
        out, _ = await asyncio.to_thread(process.communicate, timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert out == b"stopped 5.0\n"
    assert lost == []
    assert set(statuses) == {200}
    assert len(statuses) > 20  # there was a load, also on a slow machine


async def wait_until_ready(url: str) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            try:
                if (await client.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.ConnectError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError("the server did not become ready")


async def load_through_shutdown(url: str, process: subprocess.Popen) -> tuple[list[int], list[Exception]]:
    """Eight clients that go elsewhere, as behind a balancer, once ``/readyz`` says 503."""
    statuses: list[int] = []
    lost: list[Exception] = []
    unready = asyncio.Event()

    async def caller() -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            while not unready.is_set():
                try:
                    statuses.append((await client.post(f"{url}/v2/models/echo/infer", json=INFER)).status_code)
                except httpx.HTTPError as error:
                    lost.append(error)
                    return

    async def balancer() -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            while (await client.get(f"{url}/readyz")).status_code == 200:
                await asyncio.sleep(0.1)
        unready.set()

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    watching = asyncio.create_task(balancer())
    await asyncio.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    await asyncio.gather(watching, *callers)
    return statuses, lost

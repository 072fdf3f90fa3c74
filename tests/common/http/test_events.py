"""Server-sent events over a real socket: flushed one by one, silence filled, breaks told, callers that leave obeyed."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from litestar import Response, Router, get

from common.errors import DeadlineExceeded, KitharaError, Unavailable
from common.http import events
from common.http.app import Domain, create_app
from common.http.bodies import AnyRequest
from common.http.events import STREAMS, Emit, EventStream
from common.http.exchange import exchange
from contracts.models import Liveness
from contracts.problem import FieldError

WAIT = "wait"
"""A step that waits until the test lets it go on."""


class Story:
    """What the route ``/t/story`` does: emits, waits, fails."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.released = False
        self.cancelled = 0

    async def tell(self, emit: Emit) -> None:
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if step is WAIT:
                    while not self.released:
                        await asyncio.sleep(0.005)
                else:
                    emit("part", FieldError(field="n", message=step))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def route(self) -> Router:
        @get("/story", opt={STREAMS: {"part": FieldError}})
        async def story(request: AnyRequest) -> Response[Liveness]:
            """Tell it."""
            return EventStream(self.tell, exchange(request))

        return Router("/t", route_handlers=[story], tags=["test"])


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def made(suite, story: Story) -> Any:
    """The suite's stand-in models around the story."""
    made = suite()
    made.app = create_app("Test", [Domain(story.route())], made.models, made.settings)
    return made


@pytest.fixture
def url(made: Any) -> Iterator[str]:
    with made.served() as port:
        yield f"http://127.0.0.1:{port}/t/story"


def until(true: Callable[[], bool], seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def parsed(text: str) -> list[tuple[str, Any]]:
    """Names and data of the events; comments are left out."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    found = [re.fullmatch(r"event: (\w+)\ndata: (.*)", block) for block in blocks]
    assert all(found), text
    return [(one[1], json.loads(one[2])) for one in found if one]


def test_each_event_leaves_when_it_happens(url: str, story: Story) -> None:
    story.steps = ["one", WAIT, "two\nlines"]
    with httpx.stream("GET", url, headers={"x-request-id": "r1"}) as answer:
        chunks = answer.iter_text()
        assert parsed(next(chunks)) == [("part", {"field": "n", "message": "one"})]
        story.released = True
        assert parsed("".join(chunks)) == [("part", {"field": "n", "message": "two\nlines"})]
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"] == "r1"
    assert "infer;dur=" in answer.headers["server-timing"]


def test_what_fails_before_the_first_event_is_a_problem_with_its_status(url: str, story: Story) -> None:
    story.steps = [Unavailable("the upstream is busy", retry_after=7.0)]
    answer = httpx.get(url)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (DeadlineExceeded("the ladder took too long"), 504, "the ladder took too long"),
        (ZeroDivisionError("secret"), 500, "the service failed; tell its operator the request id"),
    ],
)
def test_a_break_in_the_middle_is_an_event(url: str, story: Story, error: Exception, status: int, detail: str) -> None:
    story.steps = ["one", error]
    answer = httpx.get(url, headers={"x-request-id": "r2"})
    assert answer.status_code == 200
    (name, _), (last, problem) = parsed(answer.text)
    assert (name, last) == ("part", "problem")
    assert (problem["status"], problem["detail"], problem["request_id"]) == (status, detail, "r2")
    assert problem["instance"] == "/t/story"


def test_silence_is_filled(url: str, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.02)
    story.steps = [WAIT, "late", KitharaError("late failure")]
    with httpx.stream("GET", url) as answer:
        chunks = answer.iter_text()
        assert next(chunks).startswith(":")
        story.released = True
        rest = parsed("".join(chunks))
    assert [name for name, _ in rest] == ["part", "problem"]


def test_a_caller_that_leaves_ends_the_work(url: str, made: Any, story: Story) -> None:
    story.steps = ["one", WAIT]
    port = int(url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /t/story HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        assert made.app.gate.in_flight == 1
    assert until(lambda: story.cancelled == 1)
    assert until(lambda: made.app.gate.in_flight == 0)
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert re.search(r'request_seconds_count\{.*route="/t/story",status="499"\} 1.0', metrics)


async def test_the_document_names_the_events(made: Any) -> None:
    async with made.client() as client:
        document = (await client.get("/openapi.json")).json()
    content = document["paths"]["/t/story"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["application/json", "text/event-stream"]
    named = {
        one["properties"]["event"]["const"]: one["properties"]["data"]["contentSchema"]["$ref"].rpartition("/")[2]
        for one in content["text/event-stream"]["schema"]["oneOf"]
    }
    assert named == {"part": "FieldError", "problem": "Problem"}
    assert "text/event-stream" not in json.dumps(document["paths"]["/t/story"]["get"]["responses"]["503"])

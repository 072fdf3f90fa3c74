"""A real HTTP server whose every answer is scripted, and a small study to ask it."""

import asyncio
import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.llm import ChatRequest, Message, Profile
from contracts.studies import StudyReport, Table
from llm_studies.llm.account import Account
from llm_studies.llm.ask import Ask
from llm_studies.llm.study import Job


@dataclass
class Fault:
    """What becomes of one arrival. Status 200 and nothing else: a good reply."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    drop: bool = False
    """Close without an answer."""
    truncate: bool = False
    """Close in the middle of the body."""
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda reply: reply
    delay: float = 0.0
    framed: bool = True
    """False: no content-length; the connection ends after the answer."""


GOOD = Fault()
Script = Callable[[dict[str, Any], int], Fault]
"""The fault for a request's body and the number of its arrival (0, 1, ... among those with its key)."""


def good_reply(body: dict[str, Any]) -> dict[str, Any]:
    """A function of the request: other text, seed or temperature, other reply."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {
        "model": body["model"],
        "choices": [
            {"message": {"role": "assistant", "content": f"ANSWER: {int(digest[:6], 16)}"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 10 + int(digest[0], 16), "completion_tokens": 1 + int(digest[1], 16)},
    }


class Scripted:
    """Counts arrivals by Idempotency-Key; those without one are the probe's."""

    def __init__(self) -> None:
        self.script: Script = lambda body, arrival: GOOD
        self.latency = 0.0
        self.arrived: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        """Whole good replies that were sent."""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most = 0
        self.url = ""
        self.connections = 0
        self.good = good_reply

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head.split("\r\n")[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
        key = headers.get("idempotency-key", "")
        fault = self.script(body, self.arrived[key])
        self.arrived[key] += 1
        self.bodies.append(body)
        self.headers.append(headers)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.latency + fault.delay)
        finally:
            self.in_flight -= 1
        if fault.drop:
            return False
        content = fault.body
        if content is None:
            content = json.dumps(
                fault.change(good_reply(body)) if fault.status == 200 else {"error": {"message": "no"}}
            ).encode()
        fields = {
            "content-type": "application/json",
            **({"content-length": str(len(content))} if fault.framed else {}),
        } | fault.headers
        lines = [f"HTTP/1.1 {fault.status} x", *(f"{k}: {v}" for k, v in fields.items())]
        writer.write(
            "\r\n".join(lines).encode() + b"\r\n\r\n" + (content[: len(content) // 2] if fault.truncate else content)
        )
        self.answered[key] += fault.status == 200 and not fault.truncate and fault.body is None
        await writer.drain()
        return fault.framed and not fault.truncate


@pytest.fixture
def server() -> Iterator[Scripted]:
    """Listening in a thread of its own."""
    scripted, loop, started = Scripted(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        listening = await asyncio.start_server(scripted.connected, "127.0.0.1", 0)
        scripted.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            listening.close()

    task = loop.create_task(serve())

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        for other in asyncio.all_tasks(loop):
            other.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    yield scripted
    loop.call_soon_threadsafe(task.cancel)
    thread.join()


@pytest.fixture
def profile(server: Scripted) -> Profile:
    return Profile(base_url=server.url, model="m", concurrency=8, attempts=12, timeout=5.0, deadline=20.0)


@pytest.fixture(autouse=True)
def _short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts stay in the order of milliseconds; their law is tested by value."""
    monkeypatch.setattr("llm_studies.llm.retries.FIRST", 0.001)
    monkeypatch.setattr("llm_studies.llm.retries.LARGEST", 0.01)


def asked(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), **fields)


class Questions:
    """A study: every question ``repeats`` times at T=0.7, then a second stage over the first stage's replies."""

    name = "questions"
    needs: frozenset[Any] = frozenset()

    def __init__(self, count: int, repeats: int = 1, stages: int = 1, max_tokens: int = 16) -> None:
        self.count, self.repeats, self.stages, self.max_tokens = count, repeats, stages, max_tokens

    def request(self, text: str) -> ChatRequest:
        return asked(text, temperature=0.7, max_tokens=self.max_tokens)

    async def stage(self, number: int, replay: Ask) -> Sequence[Job]:
        if number >= self.stages:
            return ()
        if number == 0:
            return [Job(f"q{i}", self._work(f"question {i}")) for i in range(self.count)]
        before = [await replay(self.request(f"question {i}"), 0) for i in range(self.count)]
        return [Job(f"s{number}-{i}", self._work(f"check {i} of {reply.text}")) for i, reply in enumerate(before)]

    def _work(self, text: str) -> Callable[[Ask], Any]:
        async def work(ask: Ask) -> None:
            for repeat in range(self.repeats):
                await ask(self.request(text), repeat)

        return work

    async def report(self, replay: Ask) -> StudyReport:
        account = Account.of(replay)
        rows = [
            (f"q{i}", repeat, (await account(self.request(f"question {i}"), repeat)).text)
            for i in range(self.count)
            for repeat in range(self.repeats)
        ]
        return StudyReport(
            study=self.name,
            title="Questions",
            model="m",
            scale="a test",
            usage=account.usage,
            calls=account.calls,
            tables=(Table(name="replies", title="Replies", columns=("question", "repeat", "text"), rows=tuple(rows)),),
        )


@pytest.fixture
def make_request() -> Callable[..., ChatRequest]:
    return asked


@pytest.fixture
def questions() -> type[Questions]:
    return Questions


@pytest.fixture
def fault() -> type[Fault]:
    return Fault

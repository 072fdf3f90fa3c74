"""The suite in front of a scripted language model on a real socket."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from common.http.server import Server, config
from common.settings import Settings
from contracts.llm import Message
from deploy.app import create_app
from llm_studies.simulate.config import Respondent, Solver
from llm_studies.simulate.mind import Mind, Prompt, end, prompt_tokens, tokens
from llm_studies.simulate.respondent import SimulatedRespondent
from llm_studies.simulate.solver import SimulatedSolver


class Scripted:
    """An OpenAI-compatible server that keeps what it was asked, and fails or waits as it is told."""

    def __init__(self) -> None:
        self.solver, self.respondent = SimulatedSolver(Solver(seed=3)), SimulatedRespondent(Respondent(kappa=0.0))
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.failures: list[tuple[int, dict[str, str], dict[str, Any]]] = []
        """Answers to the next requests: status, headers, body."""
        self.replies: list[str] = []
        """Texts of the next replies; then the simulated minds answer."""
        self.hang_after: int | None = None
        """Requests beyond so many are never answered."""
        self.left = 0
        """Callers that went away while they waited."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        self.asked.append(json.loads(body + message.get("body", b"")))
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        if self.hang_after is not None and len(self.asked) > self.hang_after:
            assert (await receive())["type"] == "http.disconnect"
            self.left += 1
            return
        status, headers, answer = self.failures.pop(0) if self.failures else (200, {}, self._reply(self.asked[-1]))
        raw = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in headers.items())]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        turns = tuple(Message(role=m["role"], content=m["content"]) for m in body["messages"])
        mind: Mind = self.solver if "<problem>" in turns[-1].content else self.respondent
        said = end(
            self.replies.pop(0) if self.replies else mind(Prompt(turns)), body.get("stop", ()), body["max_tokens"]
        )
        usage = {"prompt_tokens": prompt_tokens(turns), "completion_tokens": len(tokens(said.text))}
        choice = {"index": 0, "message": {"role": "assistant", "content": said.text}, "finish_reason": said.finish}
        return {"model": "scripted-1", "choices": [choice], "usage": usage}


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """Its address, while it runs in a thread of its own."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Suite:
    """The suite over the scripted model."""

    def __init__(self, folder: Path, model: Scripted, base_url: str) -> None:
        self.folder, self.model, self.base_url = folder, model, base_url

    def settings(self, profile: str = "", prices: str | None = None, **settings: Any) -> Settings:
        file = self.folder / "profile.toml"
        file.write_text(f'base_url = "{self.base_url}/v1"\nmodel = "m"\n{profile}')
        if prices is not None:
            (self.folder / "prices.toml").write_text(prices)
            settings["llm_prices"] = str(self.folder / "prices.toml")
        (self.folder / "models").mkdir(exist_ok=True)
        given = {
            "access_log": False,
            "models": str(self.folder / "models"),
            "drain_seconds": 1.0,
            "unready_seconds": 0.0,
        }
        return Settings(**{**given, "llm": str(file), **settings})

    @asynccontextmanager
    async def client(self, profile: str = "", **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        """In this process."""
        app = create_app(self.settings(profile, **settings))
        async with lifespan(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as one:
            yield one

    @contextmanager
    def served(self, profile: str = "", **settings: Any) -> Iterator[str]:
        """On a real socket."""
        given = self.settings(profile, port=0, **settings)
        app = create_app(given)
        with running(Server(config(app, given), app, 0.0)) as url:
            yield url


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Runs an ASGI application's lifespan around a block."""
    into: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    out: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "state": {}}, into.get, out.put))
    await into.put({"type": "lifespan.startup"})
    assert (await out.get())["type"] == "lifespan.startup.complete"
    yield
    await into.put({"type": "lifespan.shutdown"})
    assert (await out.get())["type"] == "lifespan.shutdown.complete"
    await task


@pytest.fixture(scope="module")
def listening() -> Iterator[tuple[Callable[[Scripted], None], str]]:
    """One socket for a module's tests, each with a model of its own behind it."""
    behind: list[Scripted] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await behind[-1](scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", access_log=False))
    with running(server) as url:
        yield behind.append, url


@pytest.fixture
def suite(tmp_path: Path, listening: tuple[Callable[[Scripted], None], str]) -> Suite:
    model = Scripted()
    listening[0](model)
    return Suite(tmp_path, model, listening[1])

"""An application around stand-in models, in process and on a real socket."""

import asyncio
import io
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import structlog
from litestar import Router, get, post

from common.errors import KitharaError, NotReady, Unknown
from common.http.app import Domain, create_app
from common.http.bodies import AnyRequest, JsonBody, Query, Upload, takes
from common.http.exchange import exchange
from common.http.server import Server, config
from common.http.shell import App
from common.logging import configure
from common.runtime.base import Call
from common.runtime.batcher import Stats
from common.runtime.tensors import check
from common.settings import Settings
from contracts.media import IMAGE_TYPES
from contracts.models import DataSource, Limits, Lineage, Metric, ModelCard, ModelDetail, ModelStatus, ModelSummary
from contracts.problem import FieldError
from contracts.tensors import DType, Signature, Tensor
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse, LabelScore

DIGEST = "0" * 64
Arrays = dict[str, np.ndarray]


def card(name: str, signature: Signature, limits: Limits | None = None) -> ModelCard:
    """A valid card around a signature."""
    lineage = Lineage(
        command="kithara train none",
        run="none",
        config={},
        data=(DataSource(name="none", licence="CC0-1.0", sha256=DIGEST, items=1),),
        created="2026-11-23T00:00:00Z",
        software={},
    )
    return ModelCard(
        name=name,
        version=3,
        system="echo",
        task="image-classification",
        paper="none",
        description="gives back what it gets",
        use="open",
        signature=signature,
        labels=("a", "b"),
        limits=limits or Limits(),
        metrics=(Metric(name="accuracy", split="test", value=1.0, n=1),),
        caveats=(),
        lineage=lineage,
        graph_sha256=DIGEST,
        golden_sha256=DIGEST,
    )


def echo_signature(*dtypes: DType) -> Signature:
    """``in_<dtype>`` (batch, n) of each dtype comes out as ``out_<dtype>``."""
    return Signature(
        inputs=tuple(Tensor(name=f"in_{d}", dtype=d, dims=("batch", f"n_{d}")) for d in dtypes),
        outputs=tuple(Tensor(name=f"out_{d}", dtype=d, dims=("batch", f"n_{d}")) for d in dtypes),
    )


def echo(inputs: Mapping[str, np.ndarray]) -> Arrays:
    return {name.replace("in_", "out_", 1): array.copy() for name, array in inputs.items()}


class StandIn:
    """Serves cards with functions; ``seconds`` is the time that each inference waits."""

    def __init__(self, *cards: ModelCard, run: Callable[..., Arrays] = echo, seconds: float = 0.0) -> None:
        self.cards = {c.name: c for c in cards}
        self.run, self.seconds = run, seconds
        self.reason: str | None = None
        self.calls: list[Call] = []
        self.cancelled = 0
        self.stopped: float | None = None

    def stats(self) -> dict[str, Stats]:
        return {f"{n}@3": Stats(queued=2, rows=7) for n in self.cards}

    async def start(self) -> None: ...

    async def stop(self, drain: float) -> None:
        self.stopped = drain

    def served(self, ref: str) -> SimpleNamespace:
        name, _, version = ref.partition("@")
        if name not in self.cards or version not in ("", "3"):
            raise Unknown(f"no model {ref!r}")
        if self.reason:
            raise NotReady(self.reason)
        return SimpleNamespace(card=self.cards[name], version=3)

    async def infer(self, ref: str, inputs: Mapping[str, np.ndarray], call: Call) -> tuple[Arrays, ModelCard]:
        served = self.served(ref)
        check(served.card.signature, inputs, served.card.limits)
        self.calls.append(call)
        try:
            await asyncio.sleep(self.seconds) if self.seconds else None
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.run(inputs), served.card

    def status(self) -> dict[str, ModelStatus]:
        return {n: ModelStatus(ready=not self.reason, version=3, reason=self.reason) for n in self.cards}

    async def reload(self, name: str) -> ModelStatus:
        self.served(name)
        return self.status()[name]

    def summaries(self) -> tuple[ModelSummary, ...]:
        return tuple(self.detail(name).summary for name in self.cards)

    def detail(self, ref: str) -> ModelDetail:
        found = self.served(ref).card
        summary = ModelSummary(
            name=found.name,
            system=found.system,
            task=found.task,
            description=found.description,
            use=found.use,
            version=3,
            versions=(3,),
            aliases={},
            status=self.status()[found.name],
        )
        return ModelDetail(summary=summary, card=found)


PICTURE = Upload("image", IMAGE_TYPES, ClassifyOptions, 10_000)
ERROR = JsonBody(FieldError, 1_000)
OPTIONS = Query(ClassifyOptions)


def routes(seconds: float, raised: list[Exception]) -> Router:
    """One route of each kind; ``/raise`` raises what ``raised`` holds."""

    @post("/picture", status_code=200, opt=takes(PICTURE))
    async def picture(request: AnyRequest) -> ClassifyResponse:
        """Classify a picture."""
        content, options = await PICTURE.read(request)
        return ClassifyResponse(
            label=f"{len(content)} bytes",
            scores=(LabelScore(label="invert", score=float(options.invert)),),
            leaf=options.top_k,
            model=options.model,
            version=1,
            request_id=exchange(request).call.request_id,
        )

    @post("/json", status_code=200, opt=takes(ERROR))
    async def json_(request: AnyRequest) -> FieldError:
        """Give the body back."""
        return await ERROR.read(request)

    @get("/query", opt=takes(OPTIONS))
    async def query(request: AnyRequest) -> ClassifyOptions:
        """Give the query back."""
        return OPTIONS.read(request)

    @get("/empty", sync_to_thread=False)
    def empty() -> None:
        """Nothing."""

    @get("/slow")
    async def slow(request: AnyRequest) -> dict[str, float]:
        """Wait."""
        exchange(request).call.timing.infer = seconds
        await asyncio.sleep(seconds)
        return {"seconds": seconds}

    @get("/raise", sync_to_thread=False)
    def raise_() -> dict[str, str]:
        """Fail."""
        raise raised[0]

    return Router("/t", route_handlers=[picture, json_, query, empty, slow, raise_], tags=["test"])


class Suite:
    """An application, what stands behind it, and a way to reach it in process."""

    def __init__(self, models: StandIn, **settings: Any) -> None:
        self.models = models
        self.raised: list[Exception] = []
        self.settings = Settings(**{"access_log": False, "unready_seconds": 0.0, **settings})
        self.app: App = create_app("Test", [Domain(routes(models.seconds, self.raised))], models, self.settings)  # type: ignore[arg-type]

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://suite")

    def fails_with(self, error: KitharaError | Exception) -> None:
        self.raised[:] = [error]

    @contextmanager
    def served(self) -> Iterator[int]:
        """The port of a real server in a thread of its own."""
        server = Server(config(self.app, self.settings), self.app, 0.0)
        server.config.port = 0
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield server.servers[0].sockets[0].getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def logged_json() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Log as the server does; the result returns the lines so far."""
    root, stderr, written = logging.getLogger(), sys.stderr, io.BytesIO()
    handlers, level = root.handlers[:], root.level
    sys.stderr = io.TextIOWrapper(written, write_through=True)
    try:
        configure("info")
        yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    finally:
        sys.stderr, root.handlers[:], root.level = stderr, handlers, level
        structlog.reset_defaults()


@pytest.fixture
def json_logs() -> Callable[[], Any]:
    """``with json_logs() as lines``: a context, because pytest changes stderr between fixtures and test."""
    return logged_json


MakeSuite = Callable[..., Suite]


def make_suite(*dtypes: DType, seconds: float = 0.0, limits: Limits | None = None, **settings: Any) -> Suite:
    model = card("echo", echo_signature(*(dtypes or ("float32",))), limits)
    return Suite(StandIn(model, seconds=seconds), **settings)


@pytest.fixture
def suite() -> MakeSuite:
    """``suite(*dtypes, seconds=..., limits=..., **settings)``: an application around one echoing model."""
    return make_suite


@pytest.fixture(scope="module")
def module_suite() -> MakeSuite:
    """The same, for servers that all tests of a module share."""
    return make_suite

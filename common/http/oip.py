"""The Open Inference Protocol on ``/v2``: any KServe or Triton client works against the same models.

A bare ASGI application: inference on small models is dominated by what stands around it, so nothing does.
"""

import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib.metadata import version as distribution_version
from typing import Any, NamedTuple

import msgspec
from litestar.exceptions import MethodNotAllowedException

from common.errors import NotReady, Unknown
from common.http import oip_codec
from common.http.bodies import read_body
from common.http.exchange import Exchange
from common.runtime.models import Models
from contracts.models import ModelCard
from contracts.oip import (
    IndexEntry,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from contracts.tensors import OIP_NAME, Tensor

PREFIX = "/v2"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data", "model_repository")
JSON_HEADERS = [(b"content-type", b"application/json")]

_encode = msgspec.json.Encoder().encode
Handler = Callable[["OpenInference", str, Exchange, Any], Awaitable[None]]


class Route(NamedTuple):
    """One operation of the protocol; ``template`` is what metrics and the OpenAPI document call it."""

    method: str
    template: str
    handler: Handler


class OpenInference:
    """Answers every request under ``/v2``. Errors are raised; the shell writes them in the protocol's own form."""

    def __init__(self, models: Models, most_bytes: int) -> None:
        self._models, self._most_bytes = models, most_bytes

    async def __call__(self, ex: Exchange, receive: Any) -> None:
        """Raises KitharaError, MethodNotAllowedException."""
        route, ref = resolve(ex.scope["path"])
        ex.route, method = route.template, ex.scope["method"]
        if method == route.method:
            await route.handler(self, ref, ex, receive)
        elif method == "OPTIONS":
            await ex.answer(204, [(b"allow", f"OPTIONS, {route.method}".encode())], b"")
        else:
            raise MethodNotAllowedException(headers={"Allow": f"OPTIONS, {route.method}"})

    async def infer(self, ref: str, ex: Exchange, receive: Any) -> None:
        """Decode, check, run, encode."""
        call, clock = ex.call, time.perf_counter
        signature = self._models.served(ref).card.signature
        body = await read_body(ex, receive, self._most_bytes)
        started = clock()
        request, inputs = oip_codec.decode(body, ex.headers.get(oip_codec.HEADER_LENGTH))
        if request.outputs:
            oip_codec.check_outputs(request, tuple(t.name for t in signature.outputs))
        if (timeout := request.parameters.get("timeout")) is not None:
            call.deadline = _sooner(call.deadline, timeout)
        call.timing.decode = clock() - started
        outputs, card = await self._models.infer(ref, inputs, call)
        started = clock()
        answer = oip_codec.encode(request, outputs, card.name, card.version)
        call.timing.encode = clock() - started
        headers = JSON_HEADERS
        if answer.json_length is not None:
            length = str(answer.json_length).encode()
            headers = [(b"content-type", b"application/octet-stream"), (oip_codec.HEADER_LENGTH, length)]
        await ex.answer(200, headers, answer.body)

    async def server(self, _ref: str, ex: Exchange, _receive: Any) -> None:
        """Name, version, extensions."""
        version = distribution_version("kithara")
        await _json(ex, ServerMetadata(name="kithara", version=version, extensions=EXTENSIONS))

    async def live(self, _ref: str, ex: Exchange, _receive: Any) -> None:
        """The event loop runs."""
        await _json(ex, ServerLive(live=True))

    async def ready(self, _ref: str, ex: Exchange, _receive: Any) -> None:
        """Every served model is ready, and the process is not going down."""
        ready = not ex.closing and all(status.ready for status in self._models.status().values())
        await _json(ex, ServerReady(ready=ready), 200 if ready else 503)

    async def metadata(self, ref: str, ex: Exchange, _receive: Any) -> None:
        """Tensors of one model."""
        await _json(ex, _metadata(self._models.served(ref).card))

    async def model_ready(self, ref: str, ex: Exchange, _receive: Any) -> None:
        """200, or the reason as 503."""
        await _json(ex, ModelReady(name=self._models.served(ref).card.name, ready=True))

    async def index(self, _ref: str, ex: Exchange, _receive: Any) -> None:
        """Every served model with its version and state."""
        entries = [
            IndexEntry(
                name=name,
                version=str(status.version or ""),
                state="READY" if status.ready else "UNAVAILABLE",
                reason=status.reason or "",
            )
            for name, status in self._models.status().items()
        ]
        await _json(ex, entries)

    async def load(self, ref: str, ex: Exchange, _receive: Any) -> None:
        """Read a model's versions and aliases again: what was published or pointed to since serves from now on.

        A version that cannot serve is refused with the reason, and the old one goes on.
        """
        status = await self._models.reload(ref)
        if status.reason:
            raise NotReady(f"{ref}: {status.reason}")
        await _json(ex, ModelReady(name=ref, ready=True))


SERVER = Route("GET", "/v2", OpenInference.server)
LIVE = Route("GET", "/v2/health/live", OpenInference.live)
READY = Route("GET", "/v2/health/ready", OpenInference.ready)
INDEX = Route("POST", "/v2/repository/index", OpenInference.index)
LOAD = Route("POST", "/v2/repository/models/{model_name}/load", OpenInference.load)
FIXED = {route.template: route for route in (SERVER, LIVE, READY, INDEX)}
OF_MODEL = {
    "infer": Route("POST", "/v2/models/{model_name}/infer", OpenInference.infer),
    "ready": Route("GET", "/v2/models/{model_name}/ready", OpenInference.model_ready),
    "": Route("GET", "/v2/models/{model_name}", OpenInference.metadata),
}
OF_VERSION = {
    last: route._replace(template=route.template.replace("{model_name}", "{model_name}/versions/{model_version}"))
    for last, route in OF_MODEL.items()
}
ROUTES = (*FIXED.values(), LOAD, *OF_MODEL.values(), *OF_VERSION.values())


@lru_cache(256)
def resolve(path: str) -> tuple[Route, str]:
    """The route of a path and the reference of its model. Raises Unknown."""
    parts = path.split("/")
    route: Route | None = None
    ref = ""
    if len(parts) in (4, 5) and parts[2] == "models":
        route, ref = OF_MODEL.get(parts[4] if len(parts) == 5 else ""), parts[3]
    elif len(parts) in (6, 7) and parts[2] == "models" and parts[4] == "versions":
        route, ref = OF_VERSION.get(parts[6] if len(parts) == 7 else ""), f"{parts[3]}@{parts[5]}"
    elif len(parts) == 6 and parts[2:4] == ["repository", "models"] and parts[5] == "load":
        route, ref = LOAD, parts[4]
    else:
        route = FIXED.get(path.rstrip("/"))
    if route is None:
        raise Unknown(f"the protocol has nothing at {path}; /docs lists what it has")
    return route, ref


def is_inference(path: str) -> bool:
    """Whether a path asks a model to run."""
    return path.startswith("/v2/models/") and path.endswith("/infer")


async def _json(ex: Exchange, body: Any, status: int = 200) -> None:
    await ex.answer(status, JSON_HEADERS, _encode(body))


def _metadata(card: ModelCard) -> ModelMetadata:
    return ModelMetadata(
        name=card.name,
        versions=(str(card.version),),
        platform=PLATFORM,
        inputs=tuple(map(_tensor, card.signature.inputs)),
        outputs=tuple(map(_tensor, card.signature.outputs)),
    )


def _tensor(tensor: Tensor) -> TensorMetadata:
    shape = tuple(dim if isinstance(dim, int) else -1 for dim in tensor.dims)
    return TensorMetadata(name=tensor.name, datatype=OIP_NAME[tensor.dtype], shape=shape)


def _sooner(deadline: float | None, timeout_us: object) -> float | None:
    """Triton's request parameter ``timeout``, in microseconds, shortens the deadline."""
    if type(timeout_us) is not int or timeout_us <= 0:
        return deadline
    asked = time.monotonic() + timeout_us / 1e6
    return asked if deadline is None else min(deadline, asked)

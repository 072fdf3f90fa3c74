"""The Open Inference Protocol over HTTP (``/v2``): requests and answers as KServe and Triton clients write them.

Binary tensors follow the JSON in the same body; ``binary_data_size`` and ``binary_data`` in ``parameters`` say which.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from contracts._base import Record

Parameters = dict[str, bool | int | float | str]
Size = Annotated[int, Meta(ge=0, le=2**40)]


class ServerMetadata(Record, frozen=True, kw_only=True):
    """``GET /v2``."""

    name: str
    version: str
    extensions: tuple[str, ...]


class ServerLive(Record, frozen=True, kw_only=True):
    """``GET /v2/health/live``."""

    live: bool


class ServerReady(Record, frozen=True, kw_only=True):
    """``GET /v2/health/ready``: 200 when every model is ready, else 503 with the same body."""

    ready: bool


class TensorMetadata(Record, frozen=True, kw_only=True):
    """One input or output of a model; -1 stands for a dynamic size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(Record, frozen=True, kw_only=True):
    """``GET /v2/models/{name}``."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


class ModelReady(Record, frozen=True, kw_only=True):
    """``GET /v2/models/{name}/ready``: 200 when ready, else 503 with an error."""

    name: str
    ready: bool


class InferInput(Record, frozen=True, kw_only=True):
    """A tensor of the request: ``data`` flat or nested in row-major order, or binary with ``binary_data_size``."""

    name: str
    shape: Annotated[tuple[Size, ...], Meta(max_length=16)]
    datatype: str
    parameters: Parameters = {}
    data: list[Any] | None = None


class RequestedOutput(Record, frozen=True, kw_only=True):
    """An output that the answer must hold; ``{"binary_data": true}`` asks for it in binary."""

    name: str
    parameters: Parameters = {}


class InferRequest(Record, frozen=True, kw_only=True):
    """``POST /v2/models/{name}/infer``. Without ``outputs`` the answer holds all of them."""

    id: str = ""
    parameters: Parameters = {}
    inputs: tuple[InferInput, ...]
    outputs: tuple[RequestedOutput, ...] = ()


class InferOutput(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A tensor of the answer: ``data`` flat in row-major order, or binary with ``binary_data_size``."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] = {}
    data: list[Any] | None = None


class InferResponse(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: which model and version computed what. ``id`` is the request's."""

    model_name: str
    model_version: str
    id: str = ""
    outputs: tuple[InferOutput, ...]


class IndexEntry(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One version of one model in ``POST /v2/repository/index``."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


class OipError(Record, frozen=True, kw_only=True):
    """The protocol's error body."""

    error: str

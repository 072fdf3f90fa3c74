"""One model version on a Triton server: the remote calls, what goes over the wire, and what a failure means.

UNAVAILABLE          no server, or the version is not loaded            Unavailable
NOT_FOUND            the server does not know the model or the version  NotReady
INTERNAL, dead stub  the process behind a python-based backend died     Unavailable
RESOURCE_EXHAUSTED   the server is full                                 QueueFull
DEADLINE_EXCEEDED    no answer in time                                  DeadlineExceeded
CANCELLED            the server gave the call up, not the caller        Unavailable
any other            the model or its configuration is at fault         BackendFault
"""

from collections.abc import Iterable, Sequence
from typing import Any

import grpc
import numpy as np
from grpc import StatusCode
from grpc.aio import AioRpcError
from tritonclient.grpc import service_pb2, service_pb2_grpc

from common.errors import BackendFault, DeadlineExceeded, KitharaError, NotReady, QueueFull, Unavailable
from common.runtime.base import Arrays
from common.runtime.tensors import DTYPES
from contracts.models import ModelCard
from contracts.tensors import OIP_NAME, Tensor

ASK_SECONDS, LOAD_SECONDS = 5.0, 120.0
_DEAD_STUB, _TOO_LONG = "is not healthy", "larger than max"
_PLAIN = {
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.NOT_FOUND: NotReady,
    StatusCode.RESOURCE_EXHAUSTED: QueueFull,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.CANCELLED: Unavailable,
}
_SUSPECT = {StatusCode.UNAVAILABLE, StatusCode.NOT_FOUND, StatusCode.CANCELLED, StatusCode.INVALID_ARGUMENT}
"""The server may have lost the model, or changed it: an argument is invalid though it fits the card."""
_messages: Any = service_pb2
"""Its classes are made at run time, which type checkers do not see."""


def mapped(error: AioRpcError, where: str) -> KitharaError:
    """Our error for a failed call, with the server's own words; see the table above."""
    code, details = error.code(), error.details() or "no details"
    kind = _PLAIN.get(code, BackendFault)
    if code is StatusCode.INTERNAL and _DEAD_STUB in details:
        kind = Unavailable
    elif code is StatusCode.RESOURCE_EXHAUSTED and _TOO_LONG in details:
        kind = BackendFault
    return kind(f"{where}: {code.name}: {details}")


def wire_dims(tensor: Tensor) -> list[int]:
    """As the server states them, -1 for each dynamic one: ``(batch,)`` goes over the wire as ``(batch, 1)``, because
    Triton takes no tensor without dims besides the batch."""
    dims = [dim if isinstance(dim, int) else -1 for dim in tensor.dims]
    return dims if len(dims) > 1 else [-1, 1]


class RemoteModel:
    """A version as its server knows it.

    ``suspect`` is set by a failure after which ``ensure`` is due. ``dead`` holds the names of models that lost a
    process; it is shared by all models of a server, because whoever opens a version next must know.
    """

    def __init__(self, channel: grpc.aio.Channel, address: str, card: ModelCard, dead: set[str]) -> None:
        self.where = f"{card.name}@{card.version} on Triton at {address}"
        self.suspect = False
        self._dead = dead
        self._card, self._version = card, str(card.version)
        self._outputs = {t.name: (DTYPES[t.dtype], len(t.dims) == 1) for t in card.signature.outputs}
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    async def infer(self, inputs: Arrays, request_id: str, seconds: float) -> dict[str, np.ndarray]:
        """The graph's outputs, read-only. Raises what ``mapped`` makes of a failure, and BackendFault for an answer
        that cannot be read."""
        request = _messages.ModelInferRequest(model_name=self._card.name, model_version=self._version, id=request_id)
        rows = len(inputs[self._card.signature.inputs[0].name])
        for tensor in self._card.signature.inputs:
            array = inputs[tensor.name]
            shape = array.shape if array.ndim > 1 else (rows, 1)
            request.inputs.add(name=tensor.name, datatype=OIP_NAME[tensor.dtype], shape=shape)
            request.raw_input_contents.append(array.tobytes())
        try:
            answer = await self._stub.ModelInfer(request, timeout=seconds)
        except AioRpcError as error:
            raise self._failure(error) from error
        try:
            outputs = dict(map(self._array, answer.outputs, answer.raw_output_contents))
            answered = {len(array) for array in outputs.values()}
        except (KeyError, ValueError, TypeError) as error:
            raise BackendFault(f"{self.where}: an output tensor cannot be read: {error!r}") from error
        if outputs.keys() != self._outputs.keys() or answered != {rows}:
            raise BackendFault(
                f"{self.where}: {rows} rows asked, {sorted(outputs)} of {sorted(answered)} rows answered"
            )
        return outputs

    def _array(self, head: Any, data: bytes) -> tuple[str, np.ndarray]:
        dtype, flat = self._outputs[head.name]
        return head.name, np.frombuffer(data, dtype).reshape(-1 if flat else head.shape)

    def _failure(self, error: AioRpcError) -> KitharaError:
        if _DEAD_STUB in (error.details() or ""):
            self.suspect = True
            self._dead.add(self._card.name)
        self.suspect |= error.code() in _SUSPECT
        return mapped(error, self.where)

    async def ensure(self) -> None:
        """Have the version loaded, and what the server says of it equal to the card; then it is not suspect.

        Raises: NotReady with the server's reason, or with every difference.
        """
        card, version = self._card, {"name": self._card.name, "version": self._version}
        try:
            died = card.name in self._dead
            if died:
                # A dead process counts as ready, and a load alone does not replace it.
                self._dead.discard(card.name)
                unload = _messages.RepositoryModelUnloadRequest(model_name=card.name)
                await self._stub.RepositoryModelUnload(unload, timeout=LOAD_SECONDS)
            ready = await self._stub.ModelReady(_messages.ModelReadyRequest(**version), timeout=ASK_SECONDS)
            if died or not ready.ready:
                load = _messages.RepositoryModelLoadRequest(model_name=card.name)
                await self._stub.RepositoryModelLoad(load, timeout=LOAD_SECONDS)
            served = await self._stub.ModelMetadata(_messages.ModelMetadataRequest(**version), timeout=ASK_SECONDS)
            config = await self._stub.ModelConfig(_messages.ModelConfigRequest(**version), timeout=ASK_SECONDS)
        except AioRpcError as error:
            raise NotReady(mapped(error, self.where).detail) from error
        found = [*_differences("input", card.signature.inputs, served.inputs)]
        found += _differences("output", card.signature.outputs, served.outputs)
        if config.config.max_batch_size < card.limits.max_rows:
            found.append(f"max_batch_size {config.config.max_batch_size}, the card's max_rows {card.limits.max_rows}")
        if found:
            raise NotReady(f"{self.where} is not the card's model: {'; '.join(found)}")
        self.suspect = False


def _differences(kind: str, card: Sequence[Tensor], served: Iterable[Any]) -> list[str]:
    """Where the server's tensors are not the card's, in any order."""
    wanted = {t.name: f"{OIP_NAME[t.dtype]} {wire_dims(t)}" for t in card}
    got = {t.name: f"{t.datatype} {list(t.shape)}" for t in served}
    return [
        f"{kind} {name}: server {got.get(name, 'has none')}, card {wanted.get(name, 'has none')}"
        for name in sorted(wanted.keys() | got.keys())
        if wanted.get(name) != got.get(name)
    ]

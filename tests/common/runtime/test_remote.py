# ruff: noqa: N802 (the protocol names its methods)
"""Against a real gRPC server that speaks Triton's protocol and fails as told; the real Triton is in tests/triton."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from tritonclient.grpc import service_pb2, service_pb2_grpc

from common import errors
from common.registry.layout import Version
from common.runtime import remote
from common.runtime.base import Call
from common.runtime.remote import TritonBackend, TritonEngine
from common.runtime.rpc import RemoteModel
from contracts.models import Limits, Lineage, ModelCard
from contracts.tensors import OIP_NAME, DType, Signature, Tensor

pb: Any = service_pb2
X = {"x": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)}
PLAIN = Signature(
    inputs=(Tensor(name="x", dtype="float32", dims=("batch", 2)),),
    outputs=(Tensor(name="y", dtype="float32", dims=("batch", 2)),),
)
RAGGED = Signature(
    inputs=(
        Tensor(name="ids", dtype="int64", dims=("batch", "tokens"), pad=9),
        Tensor(name="mask", dtype="bool", dims=("batch", "tokens")),
    ),
    outputs=(Tensor(name="tagged", dtype="int64", dims=("batch", "tokens")),),
)


DEFAULT = Limits()


def version(signature: Signature = PLAIN, limits: Limits = DEFAULT) -> Version:
    lineage = Lineage(command="-", run="-", config={}, data=(), created="2026-01-01T00:00:00Z", software={})
    card = ModelCard(
        name="model", version=3, system="s", task="image-classification", paper="-", description="-", use="open",
        signature=signature, labels=(), limits=limits, metrics=(), caveats=(), lineage=lineage,
        graph_sha256="0" * 64, golden_sha256="0" * 64,
    )  # fmt: skip
    return Version(Path("unused"), card)


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers y = 2 x (or tagged = 10 ids), unless told to fail; keeps what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.signature = PLAIN
        self.max_batch_size = 64
        self.loaded = True
        self.explicit = True
        self.failure: tuple[StatusCode, str] | None = None
        self.hold: asyncio.Event | None = None
        self.answer: Any = None
        self.asked: list[Any] = []
        self.control: list[str] = []
        self.cancelled = 0
        self.left: float | None = None
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def ModelReady(self, request: Any, context: Any) -> Any:
        return pb.ModelReadyResponse(ready=self.loaded)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        self.control.append(f"metadata {request.name} {request.version}")
        answer = pb.ModelMetadataResponse(name=request.name)
        for tensors, to in ((self.signature.inputs, answer.inputs), (self.signature.outputs, answer.outputs)):
            for t in reversed(tensors):
                dims = [d if isinstance(d, int) else -1 for d in t.dims]
                to.add(name=t.name, datatype=OIP_NAME[t.dtype], shape=dims if len(dims) > 1 else [-1, 1])
        return answer

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        answer = pb.ModelConfigResponse()
        answer.config.max_batch_size = self.max_batch_size
        return answer

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        self.control.append("load")
        if not self.explicit:
            await context.abort(StatusCode.UNAVAILABLE, "explicit model load / unload is not allowed")
        if self.hold is not None:
            await self.hold.wait()
        self.loaded, self.failure = True, None
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        self.control.append("unload")
        if not self.explicit:
            await context.abort(StatusCode.UNAVAILABLE, "explicit model load / unload is not allowed")
        self.loaded = False
        return pb.RepositoryModelUnloadResponse()

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.left = context.time_remaining()
        if self.failure is not None:
            await context.abort(*self.failure)
        try:
            if self.hold is not None:
                await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if not self.loaded:
            await context.abort(StatusCode.NOT_FOUND, "Request for unknown model: 'model' is not found")
        return self.answer or self._compute(request)

    def _compute(self, request: Any) -> Any:
        source, target = self.signature.inputs[0], self.signature.outputs[0]
        head = next(t for t in request.inputs if t.name == source.name)
        data = np.frombuffer(request.raw_input_contents[list(request.inputs).index(head)], source.dtype)
        answer = pb.ModelInferResponse()
        answer.outputs.add(name=target.name, datatype=OIP_NAME[target.dtype], shape=head.shape)
        answer.raw_output_contents.append((data * (2 if source.name == "x" else 10)).astype(target.dtype).tobytes())
        return answer


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def backend(server: Server) -> AsyncIterator[TritonBackend]:
    backend = TritonBackend(server.address)
    yield backend
    await backend.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_request_carries_model_version_id_and_tensors(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    call = Call(request_id="abc-1")
    answer = await engine.infer(X, call)
    np.testing.assert_array_equal(answer["y"], [[2.0, 4.0], [6.0, 8.0]])
    assert answer["y"].dtype == np.float32
    (request,) = server.asked
    assert (request.model_name, request.model_version, request.id) == ("model", "3", "abc-1")
    assert server.control == ["metadata model 3"]
    assert call.timing.infer > 0


@pytest.mark.parametrize("dtype", OIP_NAME)
async def test_every_dtype_passes_unchanged(server: Server, backend: TritonBackend, dtype: DType) -> None:
    inputs, outputs = (
        (Tensor(name="x", dtype=dtype, dims=("batch", 2)),),
        (Tensor(name="y", dtype=dtype, dims=("batch", 2)),),
    )
    server.signature = Signature(inputs=inputs, outputs=outputs)
    engine = await backend.open(version(server.signature))
    given = np.array([[1, 0], [3, 5]], dtype)
    answer = await engine.infer({"x": np.asfortranarray(given)}, Call())
    assert answer["y"].dtype == given.dtype
    np.testing.assert_array_equal(answer["y"], (given * 2).astype(dtype))


async def test_a_tensor_of_one_number_a_row_has_two_dims_on_the_wire(server: Server, backend: TritonBackend) -> None:
    inputs, outputs = Tensor(name="x", dtype="int64", dims=("batch",)), Tensor(name="y", dtype="int64", dims=("batch",))
    server.signature = Signature(inputs=(inputs,), outputs=(outputs,))
    engine = await backend.open(version(server.signature))
    answer = await engine.infer({"x": np.array([3, 4, 5])}, Call())
    assert list(server.asked[0].inputs[0].shape) == [3, 1]
    np.testing.assert_array_equal(answer["y"], [6, 8, 10])


@pytest.mark.parametrize(
    ("code", "details", "expected", "retry"),
    [
        (StatusCode.UNAVAILABLE, "version 3 is not at ready state", errors.Unavailable, 1.0),
        (StatusCode.NOT_FOUND, "Request for unknown model", errors.NotReady, 1.0),
        (StatusCode.INTERNAL, "Stub process 'model_0_0' is not healthy.", errors.Unavailable, 1.0),
        (StatusCode.INTERNAL, "onnx runtime error 6: indices out of bounds", errors.BackendFault, None),
        (StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'x'", errors.BackendFault, None),
        (StatusCode.RESOURCE_EXHAUSTED, "too many requests", errors.QueueFull, 1.0),
        (StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", errors.DeadlineExceeded, None),
        (StatusCode.CANCELLED, "request cancelled", errors.Unavailable, 1.0),
        (StatusCode.UNKNOWN, "odd", errors.BackendFault, None),
        (StatusCode.UNIMPLEMENTED, "odd", errors.BackendFault, None),
        (StatusCode.PERMISSION_DENIED, "odd", errors.BackendFault, None),
    ],
)
async def test_each_status_becomes_one_of_our_errors(
    server: Server,
    backend: TritonBackend,
    code: StatusCode,
    details: str,
    expected: type[errors.KitharaError],
    retry: float | None,
) -> None:
    engine = await backend.open(version())
    server.failure = code, details
    with pytest.raises(errors.KitharaError) as caught:
        await engine.infer(X, Call())
    assert type(caught.value) is expected
    assert caught.value.retry_after == retry
    assert details in caught.value.detail
    assert f"model@3 on Triton at {server.address}" in caught.value.detail


async def test_a_message_over_the_size_limit_is_not_worth_asking_again(
    server: Server, backend: TritonBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "CHANNEL_OPTIONS", (("grpc.max_receive_message_length", 200),))
    engine = await backend.open(version())
    with pytest.raises(errors.BackendFault, match="larger than max"):
        await engine.infer({"x": np.zeros((64, 2), np.float32)}, Call())


async def test_no_server_is_not_ready_and_names_the_address() -> None:
    backend = TritonBackend("127.0.0.1:1")
    with pytest.raises(errors.NotReady, match=r"model@3 on Triton at 127\.0\.0\.1:1: UNAVAILABLE"):
        await backend.open(version())
    await backend.close()


@pytest.mark.parametrize("address", ["", "triton", "http://triton:8001", "triton:", "triton:grpc", "a b:1"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(errors.OperatorError, match="HOST:PORT"):
        TritonBackend(address)


async def test_the_deadline_is_the_callers_and_at_most_the_models(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version(limits=Limits(deadline=2.0)))
    await engine.infer(X, Call(deadline=time.monotonic() + 1.0))
    assert server.left == pytest.approx(1.0, abs=0.4)
    await engine.infer(X, Call(deadline=time.monotonic() + 100.0))
    assert server.left == pytest.approx(2.0, abs=0.4)


async def test_an_answer_that_comes_too_late_is_given_up(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    server.hold = asyncio.Event()
    with pytest.raises(errors.DeadlineExceeded):
        await engine.infer(X, Call(deadline=time.monotonic() + 0.05))
    await until(lambda: server.cancelled == 1)


async def test_nothing_is_sent_after_the_deadline(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    with pytest.raises(errors.DeadlineExceeded):
        await engine.infer(X, Call(deadline=time.monotonic() - 0.001))
    assert server.asked == []


async def test_cancelling_the_task_cancels_the_call_on_the_server(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    server.hold = asyncio.Event()
    task = asyncio.create_task(engine.infer(X, Call()))
    await until(lambda: server.asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.cancelled == 1)


async def test_one_request_over_the_limit_is_refused_and_nobody_else(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version(limits=Limits(queue=2)))
    server.hold = asyncio.Event()
    waiting = [asyncio.create_task(engine.infer(X, Call())) for _ in range(2)]
    await until(lambda: len(server.asked) == 2)
    with pytest.raises(errors.QueueFull):
        await engine.infer(X, Call())
    server.hold.set()
    assert len(await asyncio.gather(*waiting)) == 2
    await engine.infer(X, Call())
    assert len(server.asked) == 3


def changed(**fields: Any) -> Signature:
    tensor = {"name": "x", "dtype": "float32", "dims": ("batch", 2), **fields}
    return Signature(inputs=(Tensor(**tensor),), outputs=PLAIN.outputs)


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (changed(name="z"), r"input x: server has none, card FP32 \[-1, 2\]; input z: server FP32 \[-1, 2\], card has"),
        (changed(dtype="int64"), r"input x: server INT64 \[-1, 2\], card FP32 \[-1, 2\]"),
        (changed(dims=("batch", 3)), r"input x: server FP32 \[-1, 3\], card FP32 \[-1, 2\]"),
        (changed(dims=("batch", "any")), r"input x: server FP32 \[-1, -1\], card FP32 \[-1, 2\]"),
        (Signature(inputs=PLAIN.inputs, outputs=(Tensor(name="w", dtype="bool", dims=("batch",)),)), "output w"),
    ],
)
async def test_a_server_with_another_model_is_not_ready_and_says_what_differs(
    server: Server, backend: TritonBackend, served: Signature, message: str
) -> None:
    server.signature = served
    with pytest.raises(errors.NotReady, match=message):
        await backend.open(version())


async def test_a_batch_size_below_the_cards_rows_is_not_ready(server: Server, backend: TritonBackend) -> None:
    server.max_batch_size = 8
    with pytest.raises(errors.NotReady, match="max_batch_size 8, the card's max_rows 64"):
        await backend.open(version())


async def test_a_version_that_is_not_loaded_is_loaded_first(server: Server, backend: TritonBackend) -> None:
    server.loaded = False
    engine = await backend.open(version())
    assert server.control == ["load", "metadata model 3"]
    await engine.infer(X, Call())


async def test_a_server_that_loads_nothing_by_itself_serves_what_it_has(server: Server, backend: TritonBackend) -> None:
    server.explicit = False
    await backend.open(version())
    server.loaded = False
    with pytest.raises(errors.NotReady, match="explicit model load / unload is not allowed"):
        await backend.open(version())


async def test_a_restarted_server_answers_again_and_is_told_to_load(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    await server.stop()
    with pytest.raises(errors.Unavailable) as caught:
        await engine.infer(X, Call())
    assert caught.value.retry_after is not None
    server.loaded = False
    await server.start()
    await recovered(engine)
    assert server.control == ["metadata model 3", "load", "metadata model 3"]


async def recovered(engine: TritonEngine) -> None:
    """As the supervisor does: ask until it answers."""
    async with asyncio.timeout(10):
        while True:
            try:
                assert (await engine.infer(X, Call()))["y"].shape == (2, 2)
                return
            except errors.Unavailable:
                await asyncio.sleep(0.05)


async def test_a_server_restarted_with_another_model_never_answers(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    server.signature = changed(dims=("batch", 3))
    server.failure = StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'x'"
    with pytest.raises(errors.BackendFault):
        await engine.infer(X, Call())
    asked = len(server.asked)
    with pytest.raises(errors.NotReady, match="input x: server"):
        await engine.infer(X, Call())
    assert len(server.asked) == asked


async def test_a_model_whose_process_died_is_unloaded_and_loaded(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    server.failure = StatusCode.INTERNAL, "Stub process 'model_0_0' is not healthy."
    with pytest.raises(errors.Unavailable):
        await engine.infer(X, Call())
    await engine.infer(X, Call())
    await engine.infer(X, Call())
    assert server.control == ["metadata model 3", "unload", "load", "metadata model 3"]


async def test_callers_share_one_load_and_may_leave_before_it_ends(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    server.loaded = False
    with pytest.raises(errors.NotReady):
        await engine.infer(X, Call())
    server.hold = asyncio.Event()
    soon = time.monotonic() + 0.1
    results = await asyncio.gather(*(engine.infer(X, Call(deadline=soon)) for _ in range(5)), return_exceptions=True)
    assert {type(result) for result in results} == {errors.NotReady}
    assert server.control.count("load") == 1
    server.hold.set()
    await recovered(engine)
    assert server.control.count("load") == 1


async def test_a_dead_process_is_remembered_when_the_version_is_opened_anew(
    server: Server, backend: TritonBackend
) -> None:
    engine = await backend.open(version())
    server.failure = StatusCode.INTERNAL, "Stub process 'model_0_0' is not healthy."
    with pytest.raises(errors.Unavailable):
        await engine.infer(X, Call())
    await engine.close()
    await (await backend.open(version())).infer(X, Call())
    assert server.control.count("unload") == 1


async def test_a_server_that_unloads_nothing_is_asked_again_until_somebody_restarts_it(
    server: Server, backend: TritonBackend
) -> None:
    server.explicit = False
    engine = await backend.open(version())
    server.failure = StatusCode.INTERNAL, "Stub process 'model_0_0' is not healthy."
    for _ in range(4):
        with pytest.raises(errors.Unavailable):
            await engine.infer(X, Call())
    server.failure = None
    await recovered(engine)


async def test_several_servers_behind_one_name_share_the_calls(server: Server) -> None:
    other = Server()
    await other.start()
    addresses = f"ipv4:{server.address},{other.address}"
    async with grpc.aio.insecure_channel(addresses, options=remote.CHANNEL_OPTIONS) as channel:
        model = RemoteModel(channel, addresses, version().card, set())
        async with asyncio.timeout(5):
            while not (server.asked and other.asked):
                await model.infer(X, "", 1.0)
    await other.stop()


def unreadable() -> dict[str, Any]:
    def answer(shape: list[int], raw: bytes, name: str = "y") -> Any:
        message = pb.ModelInferResponse()
        message.outputs.add(name=name, datatype="FP32", shape=shape)
        message.raw_output_contents.append(raw)
        return message

    head_only = pb.ModelInferResponse()
    head_only.outputs.add(name="y", datatype="FP32", shape=[2, 2])
    return {
        "too few bytes": answer([2, 2], b"\0" * 12),
        "no bytes": answer([2, 2], b""),
        "no tensor": head_only,
        "another name": answer([2, 2], b"\0" * 16, "w"),
        "another number of rows": answer([1, 2], b"\0" * 8),
        "a scalar": answer([], b"\0" * 4),
        "nothing": pb.ModelInferResponse(model_name="model"),
    }


@pytest.mark.parametrize("what", unreadable())
async def test_an_answer_that_cannot_be_read_is_the_backends_fault(
    server: Server, backend: TritonBackend, what: str
) -> None:
    engine = await backend.open(version())
    server.answer = unreadable()[what]
    with pytest.raises(errors.BackendFault, match="model@3 on Triton"):
        await engine.infer(X, Call())


async def test_lengths_are_padded_on_the_way_and_trimmed_on_the_way_back(
    server: Server, backend: TritonBackend
) -> None:
    server.signature = RAGGED
    engine = await backend.open(version(RAGGED))
    for tokens, sent in ((3, 8), (9, 12), (13, 16), (16, 16)):
        ids = np.arange(2 * tokens).reshape(2, tokens)
        answer = await engine.infer({"ids": ids, "mask": np.ones((2, tokens), bool)}, Call())
        np.testing.assert_array_equal(answer["tagged"], ids * 10)
        request = server.asked[-1]
        assert [list(t.shape) for t in request.inputs] == [[2, sent], [2, sent]]
        mask = np.frombuffer(request.raw_input_contents[1], bool).reshape(2, sent)
        assert mask.sum() == 2 * tokens


async def test_close_lets_requests_finish_and_refuses_later_ones(server: Server, backend: TritonBackend) -> None:
    engine = await backend.open(version())
    server.hold = asyncio.Event()
    accepted = asyncio.create_task(engine.infer(X, Call()))
    await until(lambda: server.asked)
    closing = asyncio.create_task(engine.close())
    await asyncio.sleep(0)
    with pytest.raises(errors.NotReady):
        await engine.infer(X, Call())
    assert not closing.done()
    server.hold.set()
    await closing
    np.testing.assert_array_equal((await accepted)["y"], X["x"] * 2)
    assert "unload" not in server.control

"""A model repository of small graphs, and the real server on it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import aio

from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.runtime.remote import TritonBackend
from contracts.models import Limits, Lineage, ModelCard, Stage
from contracts.tensors import DType, Signature, Tensor
from contracts.vision_nlp import acn_signature, stage_signature
from deploy.triton.server import Server, running
from deploy.triton.wheel import PYTHON

KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
WIDTH, VOCABULARY = 256, 50

Arrays = dict[str, np.ndarray]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.triton)


class Small(NamedTuple):
    """A model to publish: its graph, what it takes, and inputs for its golden file."""

    name: str
    graph: onnx.ModelProto
    signature: Signature
    limits: Limits
    inputs: Arrays


def build(
    name: str, signature: Signature, nodes: list, constants: Arrays, inputs: Arrays, limits: Limits | None = None
) -> Small:
    """A checked graph whose inputs and outputs are the signature's."""

    def info(tensors: tuple[Tensor, ...]) -> list:
        return [helper.make_tensor_value_info(t.name, KINDS[t.dtype], list(t.dims)) for t in tensors]

    weights = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, info(signature.inputs), info(signature.outputs), weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return Small(name, model, signature, limits or Limits(), inputs)


def affine(factor: float, name: str = "affine") -> Small:
    """y = factor * x."""
    signature = Signature(
        inputs=(Tensor(name="x", dtype="float32", dims=("batch", 4)),),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", 4)),),
    )
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    return build(name, signature, nodes, {"factor": np.float32(factor)}, {"x": x})


def types() -> Small:
    """Every input comes back as it is: half floats, whole numbers, flags, and one number a row."""
    kinds: dict[DType, tuple] = {"float16": ("batch", 3), "int64": ("batch",), "bool": ("batch", 3)}
    signature = Signature(
        inputs=tuple(Tensor(name=f"in_{k}", dtype=k, dims=dims) for k, dims in kinds.items()),
        outputs=tuple(Tensor(name=f"out_{k}", dtype=k, dims=dims) for k, dims in kinds.items()),
    )
    nodes = [helper.make_node("Identity", [f"in_{k}"], [f"out_{k}"]) for k in kinds]
    inputs = {f"in_{k}": np.array([[0, 1, 2]], k) if len(dims) > 1 else np.array([7], k) for k, dims in kinds.items()}
    return build("types", signature, nodes, {}, inputs)


def repeated(source: str, target: str, dims: list, times: int) -> tuple[list, Arrays]:
    """``target = tanh(... tanh(source @ w) ... @ w)``: work in proportion to ``times``."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in ("before", "after")]
    flags = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("go", "on")]
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("MatMul", ["before", "w"], ["product"]),
            helper.make_node("Tanh", ["product"], ["after"]),
        ],
        "body",
        [step, flags[0], values[0]],
        [flags[1], values[1]],
    )
    w = np.random.default_rng(0).normal(0.0, 1.5 * WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
    constants = {"w": w, "times": np.array(times), "always": np.array(True)}
    return [helper.make_node("Loop", ["times", "always", source], [target], body=body)], constants


def worker(name: str, times: int, max_rows: int) -> Small:
    """A model that takes a while."""
    signature = Signature(
        inputs=(Tensor(name="x", dtype="float32", dims=("batch", WIDTH)),),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", WIDTH)),),
    )
    nodes, constants = repeated("x", "y", ["batch", WIDTH], times)
    x = np.random.default_rng(1).normal(size=(1, WIDTH)).astype(np.float32)
    return build(name, signature, nodes, constants, {"x": x}, Limits(max_rows=max_rows))


def ragged() -> Small:
    """Masked mean of transformed embeddings, and the ids plus one; what lies under a zero mask has no influence."""
    signature = Signature(
        inputs=(
            Tensor(name="ids", dtype="int64", dims=("batch", "tokens"), pad=3),
            Tensor(name="mask", dtype="float32", dims=("batch", "tokens")),
        ),
        outputs=(
            Tensor(name="pooled", dtype="float32", dims=("batch", WIDTH)),
            Tensor(name="next", dtype="int64", dims=("batch", "tokens")),
        ),
    )
    work, constants = repeated("embedded", "states", ["batch", "tokens", WIDTH], 40)
    table = np.random.default_rng(2).normal(size=(VOCABULARY, WIDTH)).astype(np.float32)
    constants |= {"table": table, "last": np.array([-1]), "along": np.array([1]), "one": np.array(1)}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["embedded"]),
        *work,
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["states", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "along"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "along"], ["count"], keepdims=1),
        helper.make_node("Div", ["total", "count"], ["pooled"]),
        helper.make_node("Add", ["ids", "one"], ["next"]),
    ]
    return build("ragged", signature, nodes, constants, tokens(5))


def tokens(number: int) -> Arrays:
    """One row for ``ragged``."""
    ids = np.random.default_rng(number).integers(0, VOCABULARY, (1, number))
    return {"ids": ids, "mask": np.ones((1, number), np.float32)}


def blocks(name: str, start: int, depth: int, *, state: bool) -> Small:
    """x_i = tanh(x_{i-1} w), y = x_0 + ... + x_i, logits = 4 * the mean of y over 2 tokens; ``state``: a stage."""
    first = start == 0
    inputs: Arrays = {"pixels": np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8)}
    if not first:
        inputs = {n: np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 2, 4) for n in "xy"}
    signature = stage_signature(8 if first else None, 2, 4, 4) if state else acn_signature(8, 4)
    nodes = [helper.make_node("Reshape", ["pixels", "shape"], [f"{n}0"]) for n in "xy"] if first else []
    nodes += [] if first else [helper.make_node("Identity", [n], [f"{n}{start}"]) for n in "xy"]
    for i in range(start, depth):
        nodes += [
            helper.make_node("MatMul", [f"x{i}", "w"], [f"z{i}"]),
            helper.make_node("Tanh", [f"z{i}"], [f"x{i + 1}"]),
            helper.make_node("Add", [f"y{i}", f"x{i + 1}"], [f"y{i + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"y{depth}", "axis"], ["pooled"], keepdims=0),
        helper.make_node("Mul", ["pooled", "four"], ["logits"]),
    ]
    nodes += [helper.make_node("Identity", [f"{n}{depth}"], [f"{n}_next"]) for n in "xy"] if state else []
    w = np.random.default_rng(6).normal(0, 0.9, (4, 4)).astype(np.float32)
    constants = {"w": w, "shape": np.array([-1, 2, 4]), "axis": np.array([1]), "four": np.float32(4)}
    return build(name, signature, nodes, constants, inputs)


def put_stages(root: Path, scratch: Path) -> None:
    """The network ``steps`` of three blocks, and its stages."""
    stages = []
    for start, depth in ((0, 1), (1, 3)):
        small = blocks(f"steps-to-{depth}", start, depth, state=True)
        version = publish(small, root, scratch, task="network-stage")
        stages.append(Stage(model=small.name, version=version, depth=depth))
    publish(blocks("steps", 0, 3, state=False), root, scratch, stages=tuple(stages), labels=tuple("abcd"))


def publish(small: Small, root: Path, scratch: Path, **changes: Any) -> int:
    """The number of the new version."""
    graph, golden = scratch / "model.onnx", scratch / "golden.npz"
    onnx.save(small.graph, graph)
    names = [tensor.name for tensor in small.signature.outputs]
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    write_golden(golden, small.inputs, dict(zip(names, session.run(names, small.inputs), strict=True)))
    lineage = Lineage(command="-", run="-", config={}, data=(), created="2026-01-01T00:00:00Z", software={})
    draft = ModelCard(
        **DRAFT, name=small.name, system="tests", task="image-classification", paper="-", description="-", use="open",
        signature=small.signature, labels=(), limits=small.limits, metrics=(), caveats=(), lineage=lineage,
    )  # fmt: skip
    draft = msgspec.structs.replace(draft, **changes)
    return Repository(root).publish(draft, graph, golden).card.version


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of the server's environment."""
    found = os.environ.get(PYTHON)
    if found is None and os.environ.get("REQUIRE_TRITON") == "1":
        pytest.fail(f"REQUIRE_TRITON=1, but {PYTHON} names no environment with the server")
    if found is None:
        pytest.skip("run `nox -s triton`")
    return found


@pytest.fixture(scope="session")
def put(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Small, Path], int]:
    """``put(model, repository)`` publishes a version and returns its number."""
    return lambda small, root: publish(small, root, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session")
def sentence() -> Callable[[int], Arrays]:
    """``sentence(n)``: inputs of ``ragged``, one row of n tokens."""
    return tokens


@pytest.fixture(scope="session")
def scaled() -> Callable[[float], Small]:
    """``scaled(f)``: the model ``affine`` with another factor."""
    return affine


@pytest.fixture(scope="session")
def smalls() -> dict[str, Small]:
    """The models of the shared repository, by name."""
    models = [affine(2.0), types(), ragged(), worker("steady", 1000, 32), worker("slow", 60_000, 1)]
    return {model.name: model for model in models}


@pytest.fixture(scope="session")
def repository(python: str, smalls: dict[str, Small], put: Any, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """One version of each model."""
    root = tmp_path_factory.mktemp("models")
    for small in smalls.values():
        put(small, root)
    put_stages(root, tmp_path_factory.mktemp("scratch"))
    return Repository(root)


@pytest.fixture(scope="session")
def shared(python: str, repository: Repository) -> Iterator[Server]:
    """One server for all tests that do not harm it."""
    with running(repository.root, python) as server:
        yield server


@pytest.fixture
def own(python: str, put: Any, tmp_path: Path) -> Iterator[Server]:
    """A server to kill, with the model ``affine`` (version 1, factor 2) under ``tmp_path / "models"``."""
    put(affine(2.0), tmp_path / "models")
    with running(tmp_path / "models", python) as server:
        yield server
        server.kill()


@pytest.fixture
async def remote(shared: Server) -> AsyncIterator[TritonBackend]:
    backend = TritonBackend(shared.address)
    yield backend
    await backend.close()


@pytest.fixture
async def client(shared: Server) -> AsyncIterator[aio.InferenceServerClient]:
    """Triton's own client, for what the server says of itself."""
    async with aio.InferenceServerClient(shared.address) as client:
        yield client


@pytest.fixture
def counted(client: aio.InferenceServerClient) -> Callable[[str, float], Awaitable[np.ndarray]]:
    """``counted(name, seconds)``: [rows computed, executions] of version 1, once they do not change for ``seconds``.

    The server counts after it answers.
    """

    async def settled(name: str, seconds: float) -> np.ndarray:
        async with asyncio.timeout(20):
            last, now = np.array([-1, -1]), np.array([0, 0])
            while (last != now).any():
                await asyncio.sleep(seconds)
                (stats,) = (await client.get_inference_statistics(name, "1")).model_stats
                last, now = now, np.array([stats.inference_count, stats.execution_count])
        return now

    return settled

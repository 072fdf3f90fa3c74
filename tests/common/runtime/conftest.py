"""Small real graphs, published as the registry would, and a repository in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from common.errors import OperatorError, Unknown
from common.registry.golden import write_golden
from common.registry.layout import Version
from contracts.models import Limits, Lineage, ModelCard, Use
from contracts.tensors import Signature, Tensor

Kind = Literal["mlp", "lstm", "masked", "table"]
WEIGHTS = np.random.default_rng(7).standard_normal((4, 3)).astype(np.float32)

SIGNATURES: dict[Kind, Signature] = {
    "mlp": Signature(
        inputs=(Tensor(name="x", dtype="float32", dims=("batch", 4)),),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", 3)),),
    ),
    "lstm": Signature(
        inputs=(
            Tensor(name="x", dtype="float32", dims=("batch", "tokens", 4)),
            Tensor(name="lengths", dtype="int64", dims=("batch",)),
        ),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", 3)),),
    ),
    "masked": Signature(
        inputs=(
            Tensor(name="x", dtype="float32", dims=("batch", "tokens", 4), pad=9.0),
            Tensor(name="mask", dtype="float32", dims=("batch", "tokens")),
        ),
        outputs=(
            Tensor(name="mean", dtype="float32", dims=("batch", 4)),
            Tensor(name="doubled", dtype="float32", dims=("batch", "tokens", 4)),
        ),
    ),
    "table": Signature(
        inputs=(Tensor(name="ids", dtype="int64", dims=("batch",)),),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", 3)),),
    ),
}


def _nodes(kind: Kind) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    if kind == "mlp":
        return [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": WEIGHTS}
    if kind == "table":
        return [helper.make_node("Gather", ["w", "ids"], ["y"])], {"w": WEIGHTS}
    if kind == "masked":
        return [
            helper.make_node("Unsqueeze", ["mask", "last"], ["m"]),
            helper.make_node("Mul", ["x", "m"], ["kept"]),
            helper.make_node("Add", ["kept", "kept"], ["doubled"]),
            helper.make_node("ReduceSum", ["kept", "one"], ["total"], keepdims=0),
            helper.make_node("ReduceSum", ["mask", "one"], ["count"], keepdims=1),
            helper.make_node("Div", ["total", "count"], ["mean"]),
        ], {"last": np.array([2]), "one": np.array([1])}
    rng = np.random.default_rng(3)
    return [
        helper.make_node("Transpose", ["x"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("Cast", ["lengths"], ["l32"], to=TensorProto.INT32),
        helper.make_node("LSTM", ["steps", "W", "R", "", "l32"], ["", "last"], hidden_size=3),
        helper.make_node("Squeeze", ["last", "zero"], ["y"]),
    ], {
        "W": rng.standard_normal((1, 12, 4)).astype(np.float32),
        "R": rng.standard_normal((1, 12, 3)).astype(np.float32),
        "zero": np.array([0]),
    }


def _info(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        tensor.name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), tensor.dims
    )


def save_graph(kind: Kind, path: Path) -> None:
    nodes, weights = _nodes(kind)
    graph = helper.make_graph(
        nodes,
        kind,
        [_info(tensor) for tensor in SIGNATURES[kind].inputs],
        [_info(tensor) for tensor in SIGNATURES[kind].outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


def request_of(kind: Kind, rows: int, tokens: int, seed: int) -> dict[str, np.ndarray]:
    """Valid inputs; every row uses all of its ``tokens``."""
    rng = np.random.default_rng(seed)
    if kind == "table":
        return {"ids": rng.integers(0, 4, rows)}
    if kind == "mlp":
        return {"x": rng.standard_normal((rows, 4)).astype(np.float32)}
    x = rng.standard_normal((rows, tokens, 4)).astype(np.float32)
    if kind == "lstm":
        return {"x": x, "lengths": np.full(rows, tokens)}
    return {"x": x, "mask": np.ones((rows, tokens), np.float32)}


class Graphs(NamedTuple):
    """What tests know about the small graphs."""

    signatures: dict[Kind, Signature]
    weights: np.ndarray
    """float32 [4, 3] of ``mlp`` (y = x @ weights) and ``table`` (y = weights[ids])."""
    request: Callable[[Kind, int, int, int], dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def graphs() -> Graphs:
    return Graphs(SIGNATURES, WEIGHTS, request_of)


class Publish:
    """Writes a version of a model: its graph, its golden tensors (moved by ``shift``) and its card."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(
        self,
        kind: Kind = "mlp",
        number: int = 1,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        shift: float = 0.0,
        use: Use = "open",
    ) -> Version:
        name = name or kind
        folder = self.root / name / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        save_graph(kind, folder / "model.onnx")
        inputs = request_of(kind, 2, 5, 0)
        signature = SIGNATURES[kind]
        names = [tensor.name for tensor in signature.outputs]
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        outputs = dict(zip(names, session.run(names, inputs), strict=True))
        outputs[names[0]] = outputs[names[0]] + np.float32(shift)
        write_golden(folder / "golden.npz", inputs, outputs)
        return Version(folder, _card(name, number, signature, limits or Limits(), use))


def _card(name: str, number: int, signature: Signature, limits: Limits, use: Use) -> ModelCard:
    lineage = Lineage(command="kithara train", run="r", config={}, data=(), created="2026-01-01T00:00:00Z", software={})
    return ModelCard(
        name=name,
        version=number,
        system="fff",
        task="image-classification",
        paper="none",
        description=f"{name} version {number}",
        use=use,
        signature=signature,
        labels=(),
        limits=limits,
        metrics=(),
        caveats=(),
        lineage=lineage,
        graph_sha256="0" * 64,
        golden_sha256="0" * 64,
    )


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    return Publish(tmp_path)


class MemoryRepository:
    """The interface of ``common.registry.store.Repository`` over versions that tests add and take away."""

    def __init__(self) -> None:
        self.published: dict[str, dict[int, Version]] = {}
        self.pointed: dict[str, dict[str, int]] = {}
        self.damaged: dict[str, str] = {}
        """Reason by label why a version cannot be read."""

    def add(self, *versions: Version) -> None:
        for version in versions:
            self.published.setdefault(version.card.name, {})[version.card.version] = version

    def names(self) -> list[str]:
        return sorted(self.published)

    def versions(self, name: str) -> list[int]:
        return sorted(self.published[name])

    def aliases(self, name: str) -> dict[str, int]:
        return dict(self.pointed.get(name, {}))

    def set_alias(self, name: str, alias: str, number: int) -> None:
        self.pointed.setdefault(name, {})[alias] = number

    def resolve(self, ref: str) -> tuple[str, int]:
        if ref not in self.published:
            raise Unknown(f"no model {ref!r}")
        return ref, self.aliases(ref).get("default", max(self.published[ref]))

    def load(self, name: str, number: int) -> Version:
        version = self.published[name][number]
        if version.label in self.damaged:
            raise OperatorError(self.damaged[version.label])
        return version


@pytest.fixture
def repository() -> MemoryRepository:
    return MemoryRepository()

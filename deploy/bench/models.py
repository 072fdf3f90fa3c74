"""The three graphs of the serving bench: nearly free, compute-bound, and of very different length per request."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.layout import GOLDEN, GRAPH
from common.registry.store import Repository
from contracts.models import Limits, Lineage, ModelCard
from contracts.tensors import BATCH, Signature, Tensor

OPSET, IR = 18, 10
CLASSES, GOLDEN_ROWS = 16, 4
SHORTEST, LONGEST = 20, 400
"""Tokens of a ragged request, uniform between the two."""
VOCABULARY, EMBEDDING, HIDDEN = 1000, 128, 320
"""Of the ragged model: about 3.8 ms for one row of average length on one core."""

Arrays = dict[str, np.ndarray]


class Bench(NamedTuple):
    """One model of the bench and the requests that are sent to it."""

    name: str
    graph: onnx.ModelProto
    signature: Signature
    limits: Limits
    rows: tuple[Arrays, ...]
    """Inputs of distinct requests, one row each."""


def mlp(name: str, sizes: Sequence[int], rows: int, limits: Limits) -> Bench:
    """ReLU network over float32 ``x`` (batch, sizes[0]) -> ``logits`` (batch, sizes[-1]), He-initialised, seeded."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"
    last = len(sizes) - 2
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        w = rng.normal(0.0, (2.0 / fan_in) ** 0.5, (fan_in, fan_out))
        weights += [_constant(f"w{layer}", w), _constant(f"b{layer}", rng.normal(0.0, 0.1, fan_out))]
        out = "logits" if layer == last else f"h{layer}"
        nodes.append(helper.make_node("Gemm", [x, f"w{layer}", f"b{layer}"], [out]))
        if layer != last:
            nodes.append(helper.make_node("Relu", [out], [f"a{layer}"]))
        x = f"a{layer}"
    signature = Signature(
        inputs=(Tensor(name="x", dtype="float32", dims=(BATCH, sizes[0])),),
        outputs=(Tensor(name="logits", dtype="float32", dims=(BATCH, sizes[-1])),),
    )
    data = rng.normal(size=(rows, 1, sizes[0])).astype(np.float32)
    return Bench(name, _graph(name, nodes, weights, signature), signature, limits, tuple({"x": x} for x in data))


def ragged(rows: int, limits: Limits, embedding: int = EMBEDDING, hidden: int = HIDDEN) -> Bench:
    """LSTM over int64 ``tokens`` (batch, tokens): the state after ``lengths`` (batch,) tokens -> ``logits``.

    What lies beyond a row's length has no influence, so padding is exact.
    """
    rng = np.random.default_rng(1)
    scale = hidden**-0.5
    weights = [
        _constant("table", rng.normal(0.0, 1.0, (VOCABULARY, embedding))),
        _constant("w", rng.uniform(-scale, scale, (1, 4 * hidden, embedding))),
        _constant("r", rng.uniform(-scale, scale, (1, 4 * hidden, hidden))),
        _constant("b", rng.uniform(-scale, scale, (1, 8 * hidden))),
        _constant("head", rng.normal(0.0, scale, (hidden, CLASSES))),
        numpy_helper.from_array(np.array([0]), "first"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"]),
        helper.make_node("Transpose", ["embedded"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("Cast", ["lengths"], ["lengths32"], to=TensorProto.INT32),
        helper.make_node("LSTM", ["steps", "w", "r", "b", "lengths32"], ["", "state"], hidden_size=hidden),
        helper.make_node("Squeeze", ["state", "first"], ["last"]),
        helper.make_node("MatMul", ["last", "head"], ["logits"]),
    ]
    signature = Signature(
        inputs=(
            Tensor(name="tokens", dtype="int64", dims=(BATCH, "tokens")),
            Tensor(name="lengths", dtype="int64", dims=(BATCH,)),
        ),
        outputs=(Tensor(name="logits", dtype="float32", dims=(BATCH, CLASSES)),),
    )
    requests = []
    for length in rng.integers(SHORTEST, LONGEST, rows, endpoint=True):
        tokens = rng.integers(0, VOCABULARY, (1, length))
        requests.append({"tokens": tokens, "lengths": np.array([length])})
    return Bench("ragged", _graph("ragged", nodes, weights, signature), signature, limits, tuple(requests))


def session(bench: Bench) -> ort.InferenceSession:
    """The graph in this process, on the calling thread alone."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(bench.graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(opened: ort.InferenceSession, bench: Bench, inputs: Arrays) -> Arrays:
    """All outputs by name."""
    return {t.name: np.asarray(y) for t, y in zip(bench.signature.outputs, opened.run(None, inputs), strict=True)}


def merge(rows: Sequence[Arrays]) -> Arrays:
    """One batch of several requests, padded with zeros to the longest."""
    batch: Arrays = {}
    for name, first in rows[0].items():
        parts = [row[name] for row in rows]
        shape = (len(parts), *(max(p.shape[axis] for p in parts) for axis in range(1, first.ndim)))
        batch[name] = np.zeros(shape, first.dtype)
        for i, part in enumerate(parts):
            batch[name][(i, *map(slice, part.shape[1:]))] = part[0]
    return batch


def publish(bench: Bench, root: Path) -> None:
    """Add the model to a repository, with golden outputs of ONNX Runtime in this process."""
    inputs = merge(bench.rows[:GOLDEN_ROWS])
    outputs = run(session(bench), bench, inputs)
    with tempfile.TemporaryDirectory() as folder:
        graph, golden = Path(folder) / GRAPH, Path(folder) / GOLDEN
        graph.write_bytes(bench.graph.SerializeToString())
        write_golden(golden, inputs, outputs)
        Repository(root).publish(_card(bench), graph, golden)


def _card(bench: Bench) -> ModelCard:
    return ModelCard(
        **DRAFT,
        name=bench.name,
        system="bench",
        task="image-classification",
        paper="none",
        description="Random weights, for measuring speed",
        use="open",
        signature=bench.signature,
        labels=tuple(map(str, range(CLASSES))),
        limits=bench.limits,
        metrics=(),
        caveats=("answers mean nothing",),
        lineage=Lineage(
            command="kithara bench serving",
            run="none",
            config={},
            data=(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            software={"onnx": onnx.__version__, "onnxruntime": ort.__version__},
        ),
    )


def _constant(name: str, values: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(values.astype(np.float32), name)


def _graph(name: str, nodes: list, weights: list, signature: Signature) -> onnx.ModelProto:
    def info(tensors: tuple[Tensor, ...]) -> list:
        kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
        return [helper.make_tensor_value_info(t.name, kinds[t.dtype], list(t.dims)) for t in tensors]

    graph = helper.make_graph(nodes, name, info(signature.inputs), info(signature.outputs), weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    return model

"""The exported graph under ONNX Runtime against the module under torch."""

import functools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from common.export.onnx import export
from contracts.vision_nlp import fff_signature
from vision_nlp.fff.hard import HardFFF, Routing, Weights

INPUTS, OUTPUTS = 12, 5
MARGIN = 1e-5


def model(depth: int, routing: Routing, master: bool = True) -> HardFFF:
    g = torch.Generator().manual_seed(depth)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g) / 3

    n = 2**depth
    return HardFFF(
        Weights(
            node_weight=draw(n - 1, INPUTS),
            node_bias=draw(n - 1),
            w1=draw(n, 3, INPUTS),
            b1=draw(n, 3),
            w2=draw(n, OUTPUTS, 3),
            b2=draw(n, OUTPUTS),
            master=(draw(4, INPUTS), draw(4), draw(OUTPUTS, 4), draw(OUTPUTS)) if master else None,
            share=0.7 if master else 1.0,
        ),
        routing,
    )


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory):
    """Exports each tree once: tracing takes a second."""
    folder = tmp_path_factory.mktemp("graphs")

    @functools.cache
    def path(depth: int, routing: Routing, master: bool = True) -> Path:
        found = folder / f"{routing}-{depth}-{master}.onnx"
        export(model(depth, routing, master), fff_signature(INPUTS, OUTPUTS), {"pixels": torch.zeros(2, INPUTS)}, found)
        return found

    return path


def run(path: Path, x: np.ndarray) -> list[np.ndarray]:
    """Logits, leaf, margin."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits", "leaf", "path_margin"], {"pixels": x})


def pixels(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, INPUTS)).astype(np.float32)


@pytest.mark.parametrize(
    ("depth", "routing", "master"),
    [(0, "all-nodes", True), (1, "descend", False), (5, "descend", True), (5, "all-nodes", True)],
)
def test_onnx_equals_torch_at_any_batch_size(depth: int, routing: Routing, master: bool, graph) -> None:
    for batch in (1, 2, 7, 300):
        x = pixels(batch)
        logits, leaf, margin = run(graph(depth, routing, master), x)
        expected = model(depth, routing, master)(torch.from_numpy(x))
        clear = expected.path_margin.numpy() > MARGIN
        assert clear.mean() > 0.9
        np.testing.assert_array_equal(leaf[clear], expected.leaf.numpy()[clear])
        np.testing.assert_allclose(logits[clear], expected.logits.numpy()[clear], atol=1e-5)
        np.testing.assert_allclose(margin[clear], expected.path_margin.numpy()[clear], atol=1e-5)
        assert (logits.dtype, leaf.dtype, margin.dtype) == (np.float32, np.int64, np.float32)


def test_both_routings_are_one_function_under_onnx(graph) -> None:
    x = pixels(200)
    (a, leaf_a, margin_a), (b, leaf_b, _) = (run(graph(5, routing, True), x) for routing in ("descend", "all-nodes"))
    clear = margin_a > MARGIN
    np.testing.assert_array_equal(leaf_a[clear], leaf_b[clear])
    np.testing.assert_allclose(a[clear], b[clear], atol=1e-5)
    assert len(set(leaf_a.tolist())) > 10


@pytest.mark.parametrize("routing", ["descend", "all-nodes"])
def test_rows_do_not_depend_on_their_company(routing: Routing, graph) -> None:
    path, x = graph(5, routing, True), pixels(31)
    whole = run(path, x)
    order = np.random.default_rng(0).permutation(31)
    parts = [run(path, part) for part in np.split(x, [1, 8])]
    for i, name in enumerate(("logits", "leaf", "path_margin")):
        moved = run(path, x[order])[i]
        np.testing.assert_allclose(moved, whole[i][order], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(np.concatenate([p[i] for p in parts]), whole[i], atol=1e-6, err_msg=name)


def test_graph_has_no_control_flow_and_never_holds_all_leaves(graph) -> None:
    """Specification, section 7: the tree is unrolled, and a row's leaf is gathered, not masked."""
    for routing in ("descend", "all-nodes"):
        kinds = [node.op_type for node in onnx.load(graph(5, routing, True)).graph.node]
        assert not {"Loop", "If", "Scan"} & set(kinds)
        assert kinds.count("MatMul") == 2
        assert kinds.count("Gather") >= 4

"""What is timed is what would be served; times themselves are asserted nowhere."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from common.export.latency import BATCHES, microseconds, quantised
from vision_nlp.fff.config import Model
from vision_nlp.fff.latency import serve_dense, serve_tree
from vision_nlp.fff.model import FFF

INPUTS, OUTPUTS = 12, 5


@pytest.fixture(scope="module")
def dense() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(INPUTS, 20), nn.ReLU(), nn.Linear(20, OUTPUTS))


def pixels(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, INPUTS), dtype=np.float32)


def test_graphs_answer_as_the_networks_do(dense: nn.Sequential, tmp_path: Path) -> None:
    torch.manual_seed(1)
    tree = FFF(INPUTS, OUTPUTS, Model(depth=3, leaf_width=2, master_width=3))
    x = torch.from_numpy(pixels(40))
    with torch.no_grad():
        for run, expected in (
            (serve_dense(dense, tmp_path / "dense.onnx"), dense(x)),
            (serve_tree(tree, tmp_path / "tree.onnx"), tree(x, hard=True).logits),
        ):
            np.testing.assert_allclose(run(x.numpy()), expected, atol=1e-5)


def test_quantised_weights_are_int8_and_near(dense: nn.Sequential, tmp_path: Path) -> None:
    exact = serve_dense(dense, tmp_path / "dense.onnx")
    run = quantised(tmp_path / "dense.onnx")
    graph = onnx.load(tmp_path / "dense.int8.onnx").graph
    matrices = [w for w in graph.initializer if len(w.dims) == 2]
    assert sorted(tuple(w.dims) for w in matrices) == [(INPUTS, 20), (20, OUTPUTS)]
    assert {w.data_type for w in matrices} == {onnx.TensorProto.INT8}
    x = pixels(30)
    apart = np.abs(run(x) - exact(x)).max()
    assert 0 < apart < 0.05


def test_every_graph_is_timed_at_every_batch_size_on_the_first_rows() -> None:
    seen: dict[str, set[int]] = {"a": set(), "b": set()}

    def graph(name: str, x: np.ndarray) -> np.ndarray:
        seen[name].add(len(x))
        np.testing.assert_array_equal(x, given[: len(x)])
        return x

    given = pixels(64)
    found = microseconds({name: lambda x, name=name: graph(name, x) for name in seen}, given, 0.001)
    assert seen == {"a": set(BATCHES), "b": set(BATCHES)}
    assert {name: set(times) for name, times in found.items()} == seen
    assert all(time > 0 for times in found.values() for time in times.values())


def test_only_a_dense_network_is_served_as_one(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="begins and ends"):
        serve_dense(nn.Sequential(nn.ReLU()), tmp_path / "x.onnx")

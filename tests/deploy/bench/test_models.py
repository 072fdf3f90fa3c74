import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from contracts.models import Limits
from deploy.bench.models import LONGEST, SHORTEST, Bench, merge, mlp, ragged, session


def weights(bench: Bench) -> dict[str, np.ndarray]:
    return {w.name: numpy_helper.to_array(w).astype(np.float64) for w in bench.graph.graph.initializer}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm(w: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """ONNX LSTM (gates in the order i, o, f, c) over one row, written out step by step."""
    hidden = w["r"].shape[-1]
    bias = w["b"][0, : 4 * hidden] + w["b"][0, 4 * hidden :]
    h = c = np.zeros(hidden)
    for token in tokens:
        i, o, f, g = np.split(w["w"][0] @ w["table"][token] + w["r"][0] @ h + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return h @ w["head"]


def test_mlp_equals_its_formula() -> None:
    bench = mlp("small", (8, 32, 32, 4), rows=5, limits=Limits())
    w, x = weights(bench), merge(bench.rows)["x"].astype(np.float64)
    h = np.maximum(np.maximum(x @ w["w0"] + w["b0"], 0) @ w["w1"] + w["b1"], 0)
    (logits,) = session(bench).run(["logits"], dict(merge(bench.rows)))
    np.testing.assert_allclose(logits, h @ w["w2"] + w["b2"], rtol=1e-4, atol=1e-5)


def test_ragged_equals_the_recursion_alone_and_padded() -> None:
    bench = ragged(rows=6, limits=Limits(), embedding=8, hidden=12)
    expected = np.stack([lstm(weights(bench), row["tokens"][0]) for row in bench.rows])
    run = session(bench)
    alone = np.concatenate([run.run(["logits"], dict(row))[0] for row in bench.rows])
    np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-5)
    together = merge(bench.rows)
    together["tokens"][together["tokens"] == 0] = 7  # what stands in the padding must not matter
    for i, row in enumerate(bench.rows):
        together["tokens"][i, : row["lengths"][0]] = row["tokens"][0]
    np.testing.assert_allclose(run.run(["logits"], dict(together))[0], expected, rtol=1e-4, atol=1e-5)


def test_ragged_requests_have_the_stated_lengths() -> None:
    rows = ragged(rows=200, limits=Limits(), embedding=2, hidden=2).rows
    lengths = np.array([row["tokens"].shape[1] for row in rows])
    assert [row["lengths"].tolist() for row in rows] == [[n] for n in lengths]
    assert lengths.min() >= SHORTEST
    assert lengths.max() <= LONGEST
    assert 150 < lengths.mean() < 270


@pytest.mark.parametrize("bench", [mlp("m", (2, 3), 1, Limits()), ragged(1, Limits(), 2, 3)], ids=lambda b: b.name)
def test_graph_and_signature_agree(bench: Bench) -> None:
    graph = bench.graph.graph
    assert [i.name for i in graph.input] == [t.name for t in bench.signature.inputs]
    assert [o.name for o in graph.output] == [t.name for t in bench.signature.outputs]
    assert [o.version for o in bench.graph.opset_import] == [18]
    assert bench.graph.ir_version == 10
    onnx.checker.check_model(bench.graph, full_check=True)

"""Every backbone as a static ONNX graph: cut k equals sub-network k and holds nothing of the blocks behind it."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from common.export.onnx import export
from common.export.parity import Arrays, Bounds, parity
from contracts.models import Limits
from contracts.tensors import Signature
from contracts.text import TOKENS, text_signature
from contracts.vision_nlp import LOGITS, PIXELS, acn_signature

SIGNATURES = {"encoder": text_signature(5)}
LONGEST = 6
LIMITS = Limits(max_rows=5, max_cost=1000)


def signature(backbone: str) -> Signature:
    return SIGNATURES.get(backbone, acn_signature(96, 5))


def sample(backbone: str, sizes: dict[str, int]) -> Arrays:
    g = np.random.default_rng(sizes["batch"])
    if backbone != "encoder":
        return {PIXELS: g.normal(size=(sizes["batch"], 96)).astype(np.float32)}
    shape = (sizes["batch"], sizes[TOKENS])
    lengths = g.integers(1, sizes[TOKENS] + 1, sizes["batch"])
    # Ids outside the vocabulary too, on both sides.
    return {"ids": g.integers(-3, 15, shape), "mask": np.arange(sizes[TOKENS]) < lengths[:, None]}


@pytest.mark.parametrize(
    ("backbone", "mode"),
    [
        ("mlp", "acn"),
        ("mixer with tail", "acn"),
        ("deep vit", "acn_dg"),
        ("encoder", "acn"),
        ("mixer", "denseformer"),
    ],
)
def test_graph_answers_as_the_module_at_every_size(backbone: str, mode: str, network, tmp_path: Path) -> None:
    net, path = network(backbone, mode, layers=2), tmp_path / "model.onnx"
    sizes = {"batch": 3, TOKENS: LONGEST}
    example = {name: torch.from_numpy(array) for name, array in sample(backbone, sizes).items()}
    export(net, signature(backbone), example, path)
    bounds = {TOKENS: Bounds(1, LONGEST)} if backbone == "encoder" else {}
    seen = parity(
        net,
        path,
        signature(backbone),
        lambda sizes: sample(backbone, sizes),
        LIMITS,
        bounds=bounds,
        tolerance=1e-5,
    )
    assert seen.worst[LOGITS] <= 1e-5
    # Operators of ONNX itself, of which every runtime has its own.
    assert {node.domain for node in onnx.load(path).graph.node} == {""}


def test_cut_graph_equals_the_sub_network_and_has_no_weight_behind_it(network, inputs, tmp_path: Path) -> None:
    net, (pixels,) = network("mlp", layers=4), inputs("mlp")
    sizes = []
    for k in (1, 3):
        path = tmp_path / f"{k}.onnx"
        export(net.truncate(k), acn_signature(96, 5), {PIXELS: pixels}, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        with torch.no_grad():
            expected = net.forward_all(pixels)[k]
        np.testing.assert_allclose(session.run([LOGITS], {PIXELS: pixels.numpy()})[0], expected, atol=1e-5)
        sizes.append(sum(int(np.prod(weight.dims)) for weight in onnx.load(path).graph.initializer))
    block = sum(parameter.numel() for parameter in net.blocks[0].parameters())
    # Besides weights a graph holds some shapes.
    assert sizes[1] - sizes[0] == pytest.approx(2 * block, abs=30)

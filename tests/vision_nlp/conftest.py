"""The whole app over a repository; and a staged network of four blocks, made by hand as ONNX graphs and in numpy."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.settings import Settings
from contracts.examples import EXAMPLES
from contracts.models import ImageInput, ModelCard, Stage
from contracts.tensors import Signature
from contracts.vision_nlp import acn_signature, stage_signature
from deploy.app import create_app

SIDE, TOKENS, WIDTH, CLASSES, LAYERS = 4, 3, 5, 4, 4
DEPTHS = (1, 2, 4)
NAME = "acn-toy"
Client = AbstractAsyncContextManager[httpx.AsyncClient]


class Toy(NamedTuple):
    """x_0 = pixels E, x_i = tanh(x_{i-1} W_i), y = x_0 + ... + x_i, logits = (mean of y over tokens) H."""

    embed: np.ndarray
    blocks: np.ndarray
    head: np.ndarray
    name: str = NAME
    depths: tuple[int, ...] = DEPTHS

    def all(self, pixels: np.ndarray) -> np.ndarray:
        """float64 (layers + 1, rows, classes)"""
        x = y = (pixels.astype(np.float64) @ self.embed).reshape(-1, TOKENS, WIDTH)
        logits = [y.mean(1) @ self.head]
        for block in self.blocks:
            x = np.tanh(x @ block)
            y = y + x
            logits.append(y.mean(1) @ self.head)
        return np.stack(logits)

    def pixels(self, rows: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).uniform(0, 1, (rows, SIDE * SIDE)).astype(np.float32)

    def publish(self, root: Path, **changes: Any) -> ModelCard:
        """Every stage, then the whole network under ``name``; ``changes`` are of the whole's card."""
        root.mkdir(parents=True, exist_ok=True)
        named: list[Stage] = []
        for start, depth in zip((0, *self.depths), self.depths, strict=False):
            signature = stage_signature(SIDE**2 if start == 0 else None, TOKENS, WIDTH, CLASSES)
            card = self._publish(root, f"{self.name}-to-{depth}", signature, start, depth, task="network-stage")
            named.append(Stage(model=card.name, version=card.version, depth=depth))
        image = ImageInput(height=SIDE, width=SIDE, channels=1)
        more = {"image": image, "stages": tuple(named), **changes}
        return self._publish(root, self.name, acn_signature(SIDE**2, CLASSES), 0, LAYERS, **more)

    def _publish(self, root: Path, name: str, signature: Signature, start: int, depth: int, **more: Any) -> ModelCard:
        model = self._graph(signature, start, depth)
        inputs = self._inputs(start)
        session = ReferenceEvaluator(model)
        outputs = dict(zip([t.name for t in signature.outputs], session.run(None, inputs), strict=True))
        onnx.save(model, root / ".graph.onnx")
        write_golden(root / ".golden.npz", inputs, outputs)
        example = next(e for e in EXAMPLES if isinstance(e, ModelCard))
        changes = {**DRAFT, "name": name, "system": "acn", "signature": signature, "image": None, **more}
        draft = msgspec.structs.replace(example, labels=tuple("abcd"), golden_tolerance=1e-3, **changes)
        return Repository(root).publish(draft, root / ".graph.onnx", root / ".golden.npz").card

    def _inputs(self, start: int) -> dict[str, np.ndarray]:
        if start == 0:
            return {"pixels": self.pixels(2)}
        rng = np.random.default_rng(start)
        return {name: rng.standard_normal((2, TOKENS, WIDTH)).astype(np.float32) for name in "xy"}

    def _graph(self, signature: Signature, start: int, depth: int) -> onnx.ModelProto:
        constants, nodes = {"H": self.head, "axis": np.array([1])}, []
        if start == 0:
            constants |= {"E": self.embed, "shape": np.array([-1, TOKENS, WIDTH])}
            nodes += [
                helper.make_node("MatMul", ["pixels", "E"], ["flat"]),
                helper.make_node("Reshape", ["flat", "shape"], ["x0"]),
                helper.make_node("Identity", ["x0"], ["y0"]),
            ]
        else:
            nodes += [helper.make_node("Identity", [n], [f"{n}{start}"]) for n in "xy"]
        for i in range(start, depth):
            constants[f"W{i}"] = self.blocks[i]
            nodes += [
                helper.make_node("MatMul", [f"x{i}", f"W{i}"], [f"z{i}"]),
                helper.make_node("Tanh", [f"z{i}"], [f"x{i + 1}"]),
                helper.make_node("Add", [f"y{i}", f"x{i + 1}"], [f"y{i + 1}"]),
            ]
        nodes += [
            helper.make_node("ReduceMean", [f"y{depth}", "axis"], ["pooled"], keepdims=0),
            helper.make_node("MatMul", ["pooled", "H"], ["logits"]),
        ]
        if len(signature.outputs) > 1:
            nodes += [helper.make_node("Identity", [f"{n}{depth}"], [f"{n}_next"]) for n in "xy"]
        ends = [
            [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, t.dims) for t in side]
            for side in (signature.inputs, signature.outputs)
        ]
        weights = [numpy_helper.from_array(value, key) for key, value in constants.items()]
        body = helper.make_graph(nodes, "toy", *ends, weights)
        return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def make_toy(seed: int = 0) -> Toy:
    """The head is large, so that some rows are certain after a block and others never."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, scale: float) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    return Toy(
        normal(SIDE**2, TOKENS * WIDTH, scale=0.5),
        normal(LAYERS, WIDTH, WIDTH, scale=0.8),
        normal(WIDTH, CLASSES, scale=1.5),
    )


@pytest.fixture(scope="session")
def suite(in_process: Callable[[Any], Client]) -> Callable[[Path], Client]:
    """``suite(repository)``: a client of the app that serves these models."""
    return lambda root: in_process(create_app(Settings(models=str(root), access_log=False)))


@pytest.fixture(scope="session")
def toy() -> Toy:
    """The network itself."""
    return make_toy()


@pytest.fixture(scope="session")
def other_toy() -> Toy:
    """Another network of the same name and shape."""
    return make_toy(1)


@pytest.fixture(scope="session")
def toy_root(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that nobody may change, with the network and its stages."""
    root = tmp_path_factory.mktemp("toy")
    toy.publish(root)
    return root

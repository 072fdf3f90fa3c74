"""Synthetic files in the released layout; real ones when ``FFF_CHECKPOINTS`` names a folder of them."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from common.data.images import load_images
from common.errors import OperatorError
from vision_nlp.fff.hard import HardFFF
from vision_nlp.fff.official import MASTER, from_official, load_official

N, I, WIDTH, O, M = 8, 6, 3, 5, 2  # noqa: E741
FOLDER, DATA = (Path(os.environ.get(name, "")) for name in ("FFF_CHECKPOINTS", "KITHARA_DATA"))


def released() -> dict[str, Tensor]:
    """Random tensors in the layout of the released files, with the entries that are no parameters."""
    shapes = {
        "node_weights": (N - 1, I), "node_biases": (N - 1, 1), "w1s": (N, I, WIDTH), "b1s": (N, WIDTH),
        "w2s": (N, WIDTH, O), "b2s": (N, O), "magic_w1": (1, I, M), "magic_b1": (1, M), "magic_w2": (1, M, O),
        "magic_b2": (1, O), "k": (), "node_usage": (N - 1,), "leaf_usage": (N,), "f": (N,),
    }  # fmt: skip
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()} | {"depth": torch.tensor(3)}


def theirs(state: dict[str, Tensor], x: Tensor, *, hard: bool) -> np.ndarray:
    """The released forward, training (soft) or evaluation (hard), row by row in float64 from the specification."""
    w = {name: tensor.double().numpy() for name, tensor in state.items()}

    def layer(row: np.ndarray, first: np.ndarray, a: np.ndarray, second: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.maximum(row @ first + a, 0) @ second + b

    def one(row: np.ndarray) -> np.ndarray:
        y = np.zeros(O)
        for leaf in range(N):
            share = 1.0
            for level in range(3):
                # The ancestors of a leaf and the turns to it are the binary digits of its number.
                node = 2**level - 1 + (leaf >> (3 - level))
                z = w["node_weights"][node] @ row + w["node_biases"][node, 0]
                c = float(z >= 0) if hard else 1 / (1 + np.exp(-z))
                share *= c if leaf >> (2 - level) & 1 else 1 - c
            y += share * layer(row, w["w1s"][leaf], w["b1s"][leaf], w["w2s"][leaf], w["b2s"][leaf])
        if "k" not in w:
            return y
        s = 1 / (1 + np.exp(-w["k"]))
        master = layer(row, w["magic_w1"][0], w["magic_b1"][0], w["magic_w2"][0], w["magic_b2"][0])
        return s * y + (1 - s) * master

    return np.stack([one(row) for row in x.double().numpy()])


@pytest.mark.parametrize("master", [True, False])
def test_a_released_file_computes_their_formula(tmp_path: Path, master: bool) -> None:
    state = {name: tensor for name, tensor in released().items() if master or name not in MASTER}
    torch.save(state, tmp_path / "x.pt")
    model, x = load_official(tmp_path / "x.pt"), torch.randn(30, I, generator=torch.Generator().manual_seed(1))
    assert not model.training
    with torch.no_grad():
        np.testing.assert_allclose(model(x).logits, theirs(state, x, hard=False), atol=1e-5)
        hard = theirs(state, x, hard=True)
        assert np.abs(hard - model(x).logits.numpy()).max() > 0.1
        for logits in (model(x, hard=True).logits, HardFFF(model.weights())(x).logits):
            np.testing.assert_allclose(logits, hard, atol=1e-5)


def test_a_file_that_lacks_a_parameter_is_named(tmp_path: Path) -> None:
    state = released()
    del state["magic_w1"], state["b2s"]
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(OperatorError, match=r"x\.pt lacks b2s, magic_w1; name a checkpoint"):
        load_official(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("node_biases", (N - 1,), r"node_biases of shape \(7,\), the other parameters want \(7, 1\)"),
        ("w1s", (N, I), r"w1s of shape \(8, 6\), must have three dimensions"),
        ("w1s", (N - 2, I, WIDTH), "6 leaves"),
        ("w2s", (N, WIDTH + 1, O), r"w2s of shape \(8, 4, 5\), the other parameters want \(8, 3, 5\)"),
        ("magic_w1", (I, M), r"magic_w1 of shape \(6, 2\), must have three dimensions"),
        ("magic_b2", (O,), r"magic_b2 of shape \(5,\), the other parameters want \(1, 5\)"),
        ("k", (1,), r"k of shape \(1,\), the other parameters want \(\)"),
    ],
)
def test_a_misshapen_parameter_is_named(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        from_official(released() | {name: torch.zeros(shape)})


@pytest.mark.parametrize("content", [[1.0], {}, {"k": 0.5}])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(OperatorError, match=r"x\.pt lacks node_weights"):
        load_official(tmp_path / "x.pt")


def test_a_file_with_code_in_it_is_refused(tmp_path: Path) -> None:
    torch.save({"k": print}, tmp_path / "x.pt")
    with pytest.raises(OperatorError, match="plain tensors"):
        load_official(tmp_path / "x.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"none\.pt is no checkpoint"):
        load_official(tmp_path / "none.pt")


@pytest.mark.skipif(not FOLDER.name, reason="FFF_CHECKPOINTS names no folder of the authors' checkpoints")
@pytest.mark.skipif(not DATA.name, reason="KITHARA_DATA names no folder with mnist and fashion_mnist")
def test_released_files_reach_the_accuracy_in_their_names() -> None:
    """The end-to-end proof that the formulas are equal: to 0.05 points on all 10,000 pictures of the published test
    set; where some are not in the folder, to four standard errors of so large a sample more."""
    files = [path for path in sorted(FOLDER.iterdir()) if re.search(r"-[\d.]+$", path.name)]
    assert files, f"{FOLDER} holds no file with an accuracy in its name"
    sets: dict[str, tuple[Tensor, Tensor]] = {}
    for path in files:
        name = "fashion_mnist" if path.name.lower().startswith("fashion") else "mnist"
        if name not in sets:
            test = load_images(name, DATA).test
            # The released scripts' scaling.
            sets[name] = torch.from_numpy(test.images).flatten(1) / 127.5 - 1, torch.from_numpy(test.labels)
        (x, y), stated = sets[name], float(path.name.rsplit("-", 1)[1])
        share = stated if stated < 1 else stated / 100
        error = (share * (1 - share) / len(y) * (10_000 - len(y)) / 9_999) ** 0.5
        with torch.no_grad():
            found = (load_official(path)(x, hard=True).logits.argmax(1) == y).double().mean().item()
        assert found == pytest.approx(share, abs=0.0005 + 4 * error), path.name

from pathlib import Path

import pytest
import torch

from common.errors import OperatorError
from vision_nlp.fff.official import load_official

N, I, WIDTH, O, M = 4, 6, 3, 5, 2  # noqa: E741


def released() -> dict[str, torch.Tensor]:
    """Random tensors in the layout of the released files."""
    shapes = {
        "node_weights": (N - 1, I), "node_biases": (N - 1, 1), "w1s": (N, I, WIDTH), "b1s": (N, WIDTH),
        "w2s": (N, WIDTH, O), "b2s": (N, O), "magic_w1": (I, M), "magic_b1": (M,), "magic_w2": (M, O),
        "magic_b2": (O,), "k": (),
    }  # fmt: skip
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()} | {"depth": torch.tensor(2)}


def test_a_released_file_computes_their_formula(tmp_path: Path) -> None:
    state = released()
    torch.save(state, tmp_path / "x.pt")
    model = load_official(tmp_path / "x.pt")
    x = torch.randn(30, I)
    p = torch.ones(30, 1)
    for level in range(2):
        nodes = slice(2**level - 1, 2 ** (level + 1) - 1)
        c = torch.sigmoid(x @ state["node_weights"][nodes].T + state["node_biases"][nodes].T)
        p = torch.stack([p * (1 - c), p * c], 2).flatten(1)
    each = torch.relu(torch.einsum("bi,nil->bnl", x, state["w1s"]) + state["b1s"])
    tree = torch.einsum("bn,bno->bo", p, torch.einsum("bnl,nlo->bno", each, state["w2s"]) + state["b2s"])
    master = torch.relu(x @ state["magic_w1"] + state["magic_b1"]) @ state["magic_w2"] + state["magic_b2"]
    s = torch.sigmoid(state["k"])
    torch.testing.assert_close(model(x).logits.detach(), s * tree + (1 - s) * master, atol=1e-4, rtol=1e-4)


def test_a_file_that_lacks_a_parameter_is_named(tmp_path: Path) -> None:
    state = released()
    del state["magic_w1"]
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(OperatorError, match=r"x\.pt lacks magic_w1"):
        load_official(tmp_path / "x.pt")


def test_a_file_with_code_in_it_is_refused(tmp_path: Path) -> None:
    torch.save({"k": print}, tmp_path / "x.pt")
    with pytest.raises(OperatorError, match="plain tensors"):
        load_official(tmp_path / "x.pt")

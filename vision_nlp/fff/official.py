"""Reads the checkpoints that the authors of arXiv 2405.16836 released; none is shipped.

Their parameters, by name, for N leaves, l hidden units, I inputs and O outputs: ``node_weights`` (N-1, I),
``node_biases`` (N-1, 1), ``w1s`` (N, I, l), ``b1s`` (N, l), ``w2s`` (N, l, O), ``b2s`` (N, O); with a master leaf of m
hidden units also ``magic_w1`` (1, I, m), ``magic_b1`` (1, m), ``magic_w2`` (1, m, O), ``magic_b2`` (1, O) and ``k``
with s = sigmoid(k). What else such a file holds (usage counts) takes no part in the formula.

To check that ours is their formula, put released files into a folder and let the test read them: it compares the hard
test accuracy with the one in each file's name. ``FFF_CHECKPOINTS=<folder> KITHARA_DATA=<data> pytest
tests/vision_nlp/fff/test_official.py``.
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from common.errors import OperatorError
from vision_nlp.fff.config import Model
from vision_nlp.fff.model import FFF

TREE = ("node_weights", "node_biases", "w1s", "b1s", "w2s", "b2s")
MASTER = ("magic_w1", "magic_b1", "magic_w2", "magic_b2", "k")


def load_official(path: Path) -> FFF:
    """The released network in eval mode. ``weights_only``: the file can hold tensors, never code.

    Raises OperatorError when the file is missing, is no such file, or lacks a parameter or its shape.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise OperatorError(f"{path} is no checkpoint of plain tensors ({type(error).__name__})") from error
    try:
        return from_official(state if isinstance(state, dict) else {})
    except OperatorError as error:
        raise OperatorError(f"{path} {error}; name a checkpoint that the authors released") from error


def from_official(state: dict[str, Tensor]) -> FFF:
    """The network of these parameters, in eval mode; without a master leaf when none of its parameters is there.

    Raises OperatorError that names what is missing or misshapen.
    """
    names = TREE + MASTER if state.keys() & set(MASTER) else TREE
    missing = [name for name in names if not isinstance(state.get(name), Tensor)]
    if missing:
        raise OperatorError(f"lacks {', '.join(missing)}")
    given = {name: state[name].float() for name in names}
    sizes = _sizes(given)
    tree = {
        "node_weight": given["node_weights"],
        "node_bias": given["node_biases"].squeeze(1),
        "w1": given["w1s"].transpose(1, 2),
        "b1": given["b1s"],
        "w2": given["w2s"].transpose(1, 2),
        "b2": given["b2s"],
    }
    master = {
        "master.0.weight": given["magic_w1"][0].T,
        "master.0.bias": given["magic_b1"][0],
        "master.3.weight": given["magic_w2"][0].T,
        "master.3.bias": given["magic_b2"][0],
        "k": given["k"],
    } if sizes.master_width else {}  # fmt: skip
    model = FFF(given["w1s"].shape[1], given["w2s"].shape[2], sizes)
    model.load_state_dict(tree | master)
    return model.eval()


def _sizes(given: dict[str, Tensor]) -> Model:
    """What the shapes say of the tree, once they fit together."""
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
    for name in given.keys() & {"w1s", "w2s", "magic_w1"}:
        if len(shapes[name]) != 3:
            raise OperatorError(f"has {name} of shape {shapes[name]}, must have three dimensions")
    (n, i, width), o = shapes["w1s"], shapes["w2s"][2]
    m = shapes["magic_w1"][2] if "magic_w1" in shapes else 0
    depth = n.bit_length() - 1
    if n != 1 << depth:
        raise OperatorError(f"has {n} leaves; a whole binary tree has a power of two")
    expected = {
        "node_weights": (n - 1, i), "node_biases": (n - 1, 1), "w1s": (n, i, width), "b1s": (n, width),
        "w2s": (n, width, o), "b2s": (n, o), "magic_w1": (1, i, m), "magic_b1": (1, m), "magic_w2": (1, m, o),
        "magic_b2": (1, o), "k": (),
    }  # fmt: skip
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise OperatorError(f"has {name} of shape {shape}, the other parameters want {expected[name]}")
    return Model(depth=depth, leaf_width=width, master_width=m)

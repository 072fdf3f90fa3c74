"""Reads the checkpoints that the authors of arXiv 2405.16836 released (load balancing + master leaf); none is shipped.

Their parameters, by name, for N leaves, l hidden units, I inputs, O outputs and a master leaf of m hidden units:
``node_weights`` (N-1, I), ``node_biases`` (N-1, 1), ``w1s`` (N, I, l), ``b1s`` (N, l), ``w2s`` (N, l, O), ``b2s``
(N, O), ``magic_w1`` (I, m), ``magic_b1`` (m,), ``magic_w2`` (m, O), ``magic_b2`` (O,), ``k`` with s = sigmoid(k).
"""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from common.errors import OperatorError
from vision_nlp.fff.config import Model
from vision_nlp.fff.model import FFF

KEYS = frozenset(
    "node_weights node_biases w1s b1s w2s b2s magic_w1 magic_b1 magic_w2 magic_b2 k".split()  # noqa: SIM905
)


def load_official(path: Path) -> FFF:
    """The released network in eval mode. ``weights_only``: the file can hold tensors, never code.

    Raises OperatorError when the file is missing, is no such file, or lacks a parameter.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise OperatorError(f"{path} is no checkpoint of plain tensors ({type(error).__name__})") from error
    missing = KEYS - state.keys() if isinstance(state, dict) else KEYS
    if missing:
        raise OperatorError(f"{path} lacks {', '.join(sorted(missing))}; name a released checkpoint with a master leaf")
    return from_official({key: state[key].float() for key in KEYS})


def from_official(state: dict[str, Tensor]) -> FFF:
    """The network of these parameters, in eval mode."""
    leaves, inputs, width = state["w1s"].shape
    config = Model(depth=leaves.bit_length() - 1, leaf_width=width, master_width=state["magic_w1"].shape[-1])
    model = FFF(inputs, state["w2s"].shape[2], config)
    model.load_state_dict(
        {
            "node_weight": state["node_weights"],
            "node_bias": state["node_biases"].flatten(),
            "w1": state["w1s"].transpose(1, 2),
            "b1": state["b1s"],
            "w2": state["w2s"].transpose(1, 2),
            "b2": state["b2s"],
            "master.0.weight": state["magic_w1"].T,
            "master.0.bias": state["magic_b1"].flatten(),
            "master.3.weight": state["magic_w2"].T,
            "master.3.bias": state["magic_b2"].flatten(),
            "k": state["k"].reshape(()),
        }
    )
    return model.eval()

"""An auto-compressing network in pieces, each a graph of its own, and the proof that together they are the whole."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float
from torch import Tensor, nn

from common.errors import OperatorError
from common.export.parity import Arrays, Sample
from contracts.tensors import BATCH, Signature
from contracts.vision_nlp import LOGITS, PIXELS, X_NEXT, Y_NEXT, X, Y, stage_signature
from vision_nlp.acn.wiring import AutoCompressing, State

ROWS = 64
"""Pictures of the proof."""
TOLERANCE = 1e-5
"""Largest difference between the chain of stages, the whole graph and torch: as a share of the largest logit where
that is over 1, because float32 has seven digits."""
Left = tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch tokens width"], Float[Tensor, "batch tokens width"]]
"""What a stage gives: logits after its last block, the output x of that block, the sum y of all outputs so far."""


class FirstBlocks(nn.Module):
    """Embedding and blocks 1 to L of ``network``, read by its head."""

    def __init__(self, network: AutoCompressing) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Float[Tensor, "batch pixels"]) -> Left:
        """From the picture."""
        return _left(self.network, self.network.run(pixels))


class NextBlocks(nn.Module):
    """Blocks ``start + 1`` to L of ``network``, read by its head."""

    def __init__(self, network: AutoCompressing, start: int) -> None:
        super().__init__()
        self.network, self.start = network, start

    def forward(self, x: Float[Tensor, "batch tokens width"], y: Float[Tensor, "batch tokens width"]) -> Left:
        """From what the blocks before left."""
        state = State(x, y)
        for i in range(self.start + 1, self.network.depth + 1):
            state = self.network.advance(state, i)
        return _left(self.network, state)


def _left(network: AutoCompressing, state: State) -> Left:
    return network.read(state), state.x, state.y


class Piece(NamedTuple):
    """One stage, ready to be exported."""

    module: nn.Module
    signature: Signature
    sample: Sample
    """Inputs as the pieces before leave them."""
    start: int
    """Blocks that have run before..."""
    depth: int
    """...and after."""


def pieces(network: AutoCompressing, depths: Sequence[int], pixels: int) -> Iterator[Piece]:
    """The network in eval mode, cut at ``depths`` (rising); ``pixels`` are the numbers of a picture."""
    draw = pictures(pixels)
    with torch.no_grad():
        logits, x, _ = FirstBlocks(network)(torch.from_numpy(draw({BATCH: 1})[PIXELS]))
    for start, depth in pairwise((0, *depths)):
        # Truncated: no weight of a later block may reach the graph.
        cut = network.truncate(depth)
        module = NextBlocks(cut, start) if start else FirstBlocks(cut)
        signature = stage_signature(None if start else pixels, x.shape[1], x.shape[2], logits.shape[1])
        yield Piece(module, signature, states(network, start, pixels) if start else draw, start, depth)


def pictures(pixels: int) -> Sample:
    """Normal pixels, the same for the same number of rows."""

    def sample(sizes: dict[str, int]) -> Arrays:
        rng = np.random.default_rng(sizes[BATCH])
        return {PIXELS: rng.standard_normal((sizes[BATCH], pixels), dtype=np.float32)}

    return sample


def states(network: AutoCompressing, depth: int, pixels: int) -> Sample:
    """What is left of ``pictures`` after ``depth`` blocks."""
    draw = pictures(pixels)

    @torch.no_grad()
    def sample(sizes: dict[str, int]) -> Arrays:
        state = network.run(torch.from_numpy(draw(sizes)[PIXELS]), upto=depth)
        return {X: state.x.numpy(), Y: state.y.numpy()}

    return sample


@torch.no_grad()
def chain(
    network: AutoCompressing, stages: Sequence[Path], whole: Path, depths: Sequence[int], pixels: int
) -> dict[str, float]:
    """Run the stage graphs one after another on ROWS pictures, and compare them with torch and with the whole graph.

    Returns the largest differences of the logits. Raises OperatorError for one over TOLERANCE.
    """
    inputs: Arrays = pictures(pixels)({BATCH: ROWS})
    expected = network.forward_all(torch.from_numpy(inputs[PIXELS])).numpy()
    (full,) = _run(whole, inputs, [LOGITS])
    to_torch, logits = 0.0, full
    for depth, graph in zip(depths, stages, strict=True):
        logits, x, y = _run(graph, inputs, [LOGITS, X_NEXT, Y_NEXT])
        to_torch = max(to_torch, float(np.abs(logits - expected[depth]).max()))
        inputs = {X: x, Y: y}
    measured = {"chain_to_torch": to_torch, "chain_to_whole": float(np.abs(logits - full).max())}
    most = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    for name, apart in measured.items():
        if not apart <= most:
            raise OperatorError(
                f"{name}: the stages one after another differ by {apart:.2e}, over {most:.0e}; nothing was published"
            )
    return measured


def _run(graph: Path, inputs: Arrays, names: list[str]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(names, inputs)]

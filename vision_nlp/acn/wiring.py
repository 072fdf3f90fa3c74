"""Auto-compressing networks (arXiv 2506.09714): blocks in a row, and what of them the head reads.

The mode changes the wiring only: every baseline has the same blocks, embedding, norm and head. Sub-network k (k = 0..L)
is the embedding and the first k blocks, read by the same norm and head.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vision_nlp.acn.config import Mode

Pool = Callable[[Tensor], Tensor]
"""float (batch, tokens, width) -> (batch, width)"""


class State(NamedTuple):
    """What travels from block to block; enough to stop after one block and go on elsewhere."""

    x: Tensor
    """Float[Tensor, "batch tokens width"]: output of the last block. denseformer: "outputs batch tokens width", those
    of the embedding and of all blocks."""
    y: Tensor
    """Float[Tensor, "batch tokens width"]: what the head would read now. acn, acn_dg: the sum of all outputs, at least
    float32; others: what the next block takes."""


def first(y: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
    """The first token: the class token, or the only one."""
    return y[:, 0]


def mean(y: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
    """Over all tokens; for networks without padding."""
    return y.mean(1)


def has_skips(mode: Mode) -> bool:
    """Whether the blocks of a mode add their input themselves, inside: the short residuals of the usual network."""
    return mode in ("residual", "denseformer")


class AutoCompressing(nn.Module):
    """logits = head(norm(pool(y))), and y by mode (x_0 = embed(input)):

    - acn: x_i = f_i(x_{i-1}), y = x_0 + ... + x_L
    - acn_dg: the same from x_i = f_i(stopgrad(x_{i-1})): only the direct gradient of the sum
    - ffn, residual: y = x_L; the skips of residual are within its blocks (``has_skips``)
    - denseformer (arXiv 2402.02622): the next block takes y_i = sum_{j<=i} a_ij x_j, and y = y_L

    ``data`` are pictures or ids; a mask of ids is passed on to embedding and blocks.
    """

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        embed: nn.Module,
        norm: nn.Module,
        head: nn.Module,
        pool: Pool,
        mode: Mode = "acn",
        residual_weight: float | None = None,
        *,
        residual_learnt: bool = False,
    ) -> None:
        """``residual_weight``: w of x_i = f_i(x_{i-1}) + w x_{i-1}; with ``residual_learnt``, one for each block.

        Raises ValueError for a residual weight outside mode acn, and for one to learn that has no value to start from.
        """
        super().__init__()
        if residual_weight is not None and mode != "acn":
            raise ValueError(f"residual_weight belongs to mode acn, not to {mode}; leave it out")
        if residual_learnt and residual_weight is None:
            raise ValueError("residual_learnt needs a residual_weight to start from; 0 is ACN")
        self.mode, self.pool, self.residual_weight = mode, pool, residual_weight
        self.embed, self.blocks, self.norm, self.head = embed, nn.ModuleList(blocks), norm, head
        # One parameter for each block, so that a truncated network has a subset of them.
        self.weights = nn.ParameterList(self._weights(residual_weight if residual_learnt else None))

    def _weights(self, residual: float | None) -> list[Tensor]:
        layers = range(1, self.depth + 1)
        if self.mode == "denseformer":
            # The identity: at the start, the residual network.
            return [torch.eye(i + 1)[i] for i in layers]
        return [] if residual is None else [torch.tensor(float(residual)) for _ in layers]

    @property
    def depth(self) -> int:
        """L, the number of blocks."""
        return len(self.blocks)

    def begin(self, data: Tensor, mask: Tensor | None = None) -> State:
        """x_0 and y_0."""
        x = _call(self.embed, data, mask)
        if self.mode == "denseformer":
            return State(x[None], x)
        return State(x, _wide(x)) if self._sums else State(x, x)

    def advance(self, state: State, i: int, mask: Tensor | None = None) -> State:
        """Run block ``i`` (1..L). Raises ValueError for another."""
        if not 1 <= i <= self.depth:
            raise ValueError(f"block {i} of a network of {self.depth}; blocks count from 1")
        block, (x, y) = self.blocks[i - 1], state
        if self.mode == "denseformer":
            outputs = torch.cat([x, _call(block, y, mask)[None]])
            # arXiv 2402.02622, depth-weighted average after block i
            return State(outputs, torch.tensordot(self.weights[i - 1], outputs, 1))
        out = _call(block, x.detach() if self.mode == "acn_dg" else x, mask)
        if self.weights:
            out = out + self.weights[i - 1] * x
        elif self.residual_weight:
            out = out + self.residual_weight * x
        return State(out, y + _wide(out)) if self._sums else State(out, out)

    def read(self, state: State) -> Float[Tensor, "batch classes"]:
        """What the shared head says of the blocks that have run."""
        y = self.pool(state.y)
        # A half-precision network sums in float32 but has a half-precision head.
        return self.head(self.norm(y.to(next(self.parameters(), y).dtype)))

    def run(self, data: Tensor, mask: Tensor | None = None, *, upto: int | None = None) -> State:
        """The state after ``upto`` blocks, by default all. Raises ValueError for a depth outside 0..L."""
        state = self.begin(data, mask)
        for i in range(1, self._checked(upto) + 1):
            state = self.advance(state, i, mask)
        return state

    def forward(
        self, data: Tensor, mask: Tensor | None = None, *, upto: int | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Logits of sub-network ``upto``, by default the whole. Raises ValueError for a depth outside 0..L."""
        return self.read(self.run(data, mask, upto=upto))

    def forward_all(self, data: Tensor, mask: Tensor | None = None) -> Float[Tensor, "depth_1 batch classes"]:
        """Logits of all sub-networks, k = 0..L, in one pass over the blocks."""
        state = self.begin(data, mask)
        logits = [self.read(state)]
        for i in range(1, self.depth + 1):
            state = self.advance(state, i, mask)
            logits.append(self.read(state))
        return torch.stack(logits)

    def truncate(self, k: int) -> "AutoCompressing":
        """Sub-network ``k`` as a network of its own, sharing no storage; raises ValueError for k outside 0..L."""
        k = self._checked(k)
        cut = copy.deepcopy(self)
        cut.blocks, cut.weights = cut.blocks[:k], cut.weights[:k]
        return cut

    @property
    def _sums(self) -> bool:
        return self.mode in ("acn", "acn_dg")

    def _checked(self, k: int | None) -> int:
        if k is not None and not 0 <= k <= self.depth:
            raise ValueError(f"depth {k} of a network of {self.depth} blocks; it must be 0..{self.depth}")
        return self.depth if k is None else k


def _wide(x: Tensor) -> Tensor:
    """At least float32: the sum grows with L where outputs have unit scale, and half precision loses the last ones."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _call(part: nn.Module, x: Tensor, mask: Tensor | None) -> Tensor:
    """Parts over pictures know no mask."""
    return part(x) if mask is None else part(x, mask)

"""Hard inference (arXiv 2308.14711, FORWARD_I) as one traceable module: each row walks the tree and pays for one leaf.

Two forms of the same function, neither with a Python loop over rows:

- ``forward`` gathers the parameters that each row needs. Becomes the ONNX graph: no Loop, no If, the tree is unrolled.
- ``grouped`` sorts the rows by leaf and runs one matrix product per leaf that was reached: weights are read once, which
  wins for large batches with wide leaves.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Routing = Literal["descend", "all-nodes"]
"""``descend``: gather one node's weights per row and level. ``all-nodes``: one product for the logits of all nodes,
then integer gathers. Both walk the same path."""

ALL_NODES_DEPTH = 8
"""Up to this depth ``all-nodes`` is the default in a graph. It evaluates 2^d - 1 nodes where ``descend`` evaluates d,
but in a third of the operations: a single row at depth 8 takes 23 against 34 microseconds (``kithara bench fff``)."""


def default_routing(depth: int) -> Routing:
    return "all-nodes" if depth <= ALL_NODES_DEPTH else "descend"


class Weights(NamedTuple):
    """Of a tree of depth d with N = 2^d leaves: I inputs, O outputs, leaf width l, master width m; all float32.

    Nodes lie in heap order: the children of j are 2j+1 (left) and 2j+2 (right, taken iff the logit is >= 0).
    """

    node_weight: Tensor
    """(N-1, I)"""
    node_bias: Tensor
    """(N-1,)"""
    w1: Tensor
    """(N, l, I): a gathered leaf is contiguous"""
    b1: Tensor
    """(N, l)"""
    w2: Tensor
    """(N, O, l)"""
    b2: Tensor
    """(N, O)"""
    master: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    """(m, I), (m,), (O, m), (O,)"""
    share: float = 1.0
    """s of y = s * leaf + (1 - s) * master; 1 without a master leaf"""


class Output(NamedTuple):
    logits: Tensor
    """(B, O) float32"""
    leaf: Tensor
    """(B,) int64"""
    path_margin: Tensor
    """(B,) float32: smallest absolute node logit on the path; the largest float32 for a tree without nodes"""


class HardFFF(nn.Module):
    """A frozen fast feedforward network under hard routing. Rows never influence one another."""

    def __init__(self, weights: Weights, routing: Routing | None = None) -> None:
        super().__init__()
        n, _, _ = weights.w1.shape
        self.depth = n.bit_length() - 1
        if n != 1 << self.depth or len(weights.node_weight) != n - 1:
            raise ValueError(f"{n} leaves and {len(weights.node_weight)} nodes are no whole binary tree")
        self.routing: Routing = routing or default_routing(self.depth)
        share = weights.share
        self.node_weight = _constant(weights.node_weight)
        self.node_bias = _constant(weights.node_bias)
        self.w1, self.b1 = _constant(weights.w1), _constant(weights.b1)
        # The mixture y = s * leaf + (1 - s) * master is folded into the second layers: exact, and two operations less.
        self.w2, self.b2 = _constant(weights.w2 * share), _constant(weights.b2 * share)
        self.master = None if weights.master is None else _master(weights.master, 1 - share)
        self.eval()

    def forward(self, pixels: Tensor) -> Output:
        """(B, I) float32."""
        leaf, margin = self._route(pixels, self.routing)
        column = pixels.unsqueeze(2)
        hidden = (self.w1.index_select(0, leaf) @ column).squeeze(2) + self.b1.index_select(0, leaf)
        logits = (self.w2.index_select(0, leaf) @ hidden.relu().unsqueeze(2)).squeeze(2) + self.b2.index_select(0, leaf)
        return Output(self._with_master(logits, pixels), leaf, margin)

    def grouped(self, pixels: Tensor) -> Output:
        """The same function for large batches; not traceable, because the size of a group depends on the data."""
        leaf, margin = self._route(pixels, "descend")
        order = leaf.argsort()
        rows = pixels.index_select(0, order)
        sorted_logits = pixels.new_empty(len(pixels), self.b2.shape[1])
        start = 0
        for i, count in enumerate(torch.bincount(leaf, minlength=len(self.w1)).tolist()):
            if count:
                group = slice(start, start + count)
                hidden = torch.addmm(self.b1[i], rows[group], self.w1[i].T).relu_()
                torch.addmm(self.b2[i], hidden, self.w2[i].T, out=sorted_logits[group])
                start += count
        logits = torch.empty_like(sorted_logits).index_copy_(0, order, sorted_logits)
        return Output(self._with_master(logits, pixels), leaf, margin)

    def _route(self, pixels: Tensor, routing: Routing) -> tuple[Tensor, Tensor]:
        """(B, I) -> the leaf (B,) int64 and the margin (B,) of each row."""
        if self.depth == 0:
            # A function of the input, so that the graph's batch dimension stays dynamic.
            nothing = pixels[:, 0] * 0
            return nothing.to(torch.int64), nothing + torch.finfo(torch.float32).max
        return self._descend(pixels) if routing == "descend" else self._all_nodes(pixels)

    def _descend(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        logit = nn.functional.linear(pixels, self.node_weight[:1], self.node_bias[:1])
        path, node = [logit], 1 + (logit >= 0).to(torch.int64).squeeze(1)
        for _ in range(self.depth - 1):
            weight, bias = self.node_weight.index_select(0, node), self.node_bias.index_select(0, node)
            # Product and sum, not a batched (1, I) x (I, 1) product: that is three times slower in ONNX Runtime.
            logit = (weight * pixels).sum(1, keepdim=True) + bias.unsqueeze(1)
            path.append(logit)
            node = node + node + 1 + (logit >= 0).to(torch.int64).squeeze(1)
        return node - (len(self.w1) - 1), torch.cat(path, 1).abs().amin(1)

    def _all_nodes(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        logits = nn.functional.linear(pixels, self.node_weight, self.node_bias)
        # Where each node would send each row: the walk is then one integer gather per level.
        child = (logits >= 0).to(torch.int64) + (2 * torch.arange(len(self.node_weight)) + 1)
        path = [torch.zeros_like(child[:, :1])]
        for _ in range(self.depth):
            path.append(child.gather(1, path[-1]))
        leaf = path.pop().squeeze(1) - len(self.node_weight)
        return leaf, logits.abs().gather(1, torch.cat(path, 1)).amin(1)

    def _with_master(self, logits: Tensor, pixels: Tensor) -> Tensor:
        return logits if self.master is None else logits + self.master(pixels)


def _constant(tensor: Tensor) -> nn.Buffer:
    return nn.Buffer(tensor.detach().to("cpu", torch.float32).contiguous().clone())


def _master(weights: tuple[Tensor, Tensor, Tensor, Tensor], share: float) -> nn.Sequential:
    w1, b1, w2, b2 = weights
    first, second = nn.Linear(w1.shape[1], w1.shape[0]), nn.Linear(w2.shape[1], w2.shape[0])
    with torch.no_grad():
        for parameter, value in zip(
            (first.weight, first.bias, second.weight, second.bias), (w1, b1, w2 * share, b2 * share), strict=True
        ):
            parameter.copy_(value).requires_grad_(False)
    return nn.Sequential(first, nn.ReLU(), second)

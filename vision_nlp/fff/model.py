"""Fast feedforward network (arXiv 2308.14711), with an optional master leaf (arXiv 2405.16836).

N - 1 hyperplanes in a balanced binary tree send each input to one of N = 2^depth small networks. Training mixes all
leaves softly; inference (``hard.py``) walks the tree and pays for one.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from vision_nlp.fff.config import Model
from vision_nlp.fff.hard import Weights


class Routed(NamedTuple):
    """What the losses need of one forward pass."""

    logits: Float[Tensor, "*batch outputs"]
    node_logits: Float[Tensor, "*batch nodes"]
    mixture: Float[Tensor, "*batch leaves"]
    """p: the weight of each leaf, summing to 1; one-hot under hard routing."""


class FFF(nn.Module):
    """``soft`` is the training forward, ``hard`` the same network with every decision taken: one leaf per input."""

    def __init__(self, inputs: int, outputs: int, config: Model) -> None:
        super().__init__()
        self.depth, self.leaves, self.region_leak = config.depth, 1 << config.depth, config.region_leak
        leaves, leaf_width, master_width, dropout = self.leaves, config.leaf_width, config.master_width, config.dropout
        self.master_width = master_width
        self.node_weight = _uniform(leaves - 1, inputs, fan_in=inputs)
        self.node_bias = _uniform(leaves - 1, fan_in=inputs)
        self.w1, self.b1 = (
            _uniform(leaves, leaf_width, inputs, fan_in=inputs),
            _uniform(leaves, leaf_width, fan_in=inputs),
        )
        self.w2 = _uniform(leaves, outputs, leaf_width, fan_in=leaf_width)
        self.b2 = _uniform(leaves, outputs, fan_in=leaf_width)
        self.dropout = nn.Dropout(dropout)
        self.master = _master(inputs, master_width, outputs, dropout) if master_width else None
        # k of arXiv 2405.16836: y = s * leaves + (1 - s) * master with s = sigmoid(k); 0.5 is the released start.
        self.k = nn.Parameter(torch.tensor(0.5)) if master_width else None

    def soft(self, x: Float[Tensor, "*batch inputs"]) -> Routed:
        """FORWARD_T: every leaf, weighted by the product of the decisions on its path."""
        node_logits = self.node_logits(x)
        decisions = node_logits.sigmoid()
        if self.training and self.region_leak:
            # Section on region leak: c <- 1 - c with probability r, so that leaves see their neighbours' inputs.
            leak = torch.full_like(decisions, self.region_leak).bernoulli()
            decisions = (leak - decisions).abs()
        mixture = self.mixture(decisions)
        return Routed(self._mix(x, mixture), node_logits, mixture)

    def hard(self, x: Float[Tensor, "*batch inputs"]) -> Routed:
        """FORWARD_I as a one-hot mixture: exact, but dense, so that phase three can train through it."""
        node_logits = self.node_logits(x)
        mixture = F.one_hot(descend(node_logits), self.leaves).to(x.dtype)
        return Routed(self._mix(x, mixture), node_logits, mixture)

    def forward(self, x: Float[Tensor, "*batch inputs"], *, hard: bool = False) -> Routed:
        """``hard(x)`` or ``soft(x)``; distributed training calls the module."""
        return self.hard(x) if hard else self.soft(x)

    def node_logits(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch nodes"]:
        """u_j . x + a_j of all nodes, in float32 whatever runs around it: a flipped decision is a jump."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.node_weight, self.node_bias)

    def mixture(self, decisions: Float[Tensor, "*batch nodes"]) -> Float[Tensor, "*batch leaves"]:
        """p_i = product of c (right) or 1 - c (left) over the ancestors of leaf i; heap order, level by level."""
        p = torch.ones_like(decisions[..., :1]) if self.depth else decisions.new_ones(*decisions.shape[:-1], 1)
        for level in range(self.depth):
            c = decisions[..., (1 << level) - 1 : (2 << level) - 1]
            p = rearrange(torch.stack((p * (1 - c), p * c), -1), "... node side -> ... (node side)")
        return p

    def _mix(
        self, x: Float[Tensor, "*batch inputs"], mixture: Float[Tensor, "*batch leaves"]
    ) -> Float[Tensor, "*batch outputs"]:
        """sum_i p_i L_i(x). Scaling the hidden units by p first needs one product and never a (B, N, O) tensor."""
        hidden = F.linear(x, rearrange(self.w1, "n l i -> (n l) i"), self.b1.flatten()).relu()
        hidden = rearrange(self.dropout(hidden), "... (n l) -> ... n l", n=self.leaves) * mixture.unsqueeze(-1)
        leaves = F.linear(rearrange(hidden, "... n l -> ... (n l)"), rearrange(self.w2, "n o l -> o (n l)"))
        leaves = leaves + mixture @ self.b2
        if self.master is None or self.k is None:
            return leaves
        # arXiv 2405.16836, as released: y = s * y_FFF + (1 - s) * M(x)
        share = self.k.sigmoid()
        return share * leaves + (1 - share) * self.master(x)

    @property
    def tree(self) -> tuple[nn.Parameter, nn.Parameter]:
        """The parameters that decide; frozen in phase three."""
        return self.node_weight, self.node_bias

    @property
    def share(self) -> float:
        """s of y = s * leaf + (1 - s) * master; 1 without a master leaf."""
        return 1.0 if self.k is None else float(self.k.detach().sigmoid())

    @property
    def mac(self) -> int:
        """Multiply-adds of hard inference per row: d * I + (l + m) * (I + O)."""
        _, width, inputs = self.w1.shape
        return self.depth * inputs + (width + self.master_width) * (inputs + self.w2.shape[1])

    def weights(self) -> Weights:
        """The parameters in the layout of hard inference."""
        master = None
        if self.master is not None:
            w1, b1, w2, b2 = self.master.parameters()
            master = (w1, b1, w2, b2)
        return Weights(self.node_weight, self.node_bias, self.w1, self.b1, self.w2, self.b2, master, self.share)


def descend(node_logits: Float[Tensor, "*batch nodes"]) -> Int[Tensor, "*batch"]:
    """The leaf that the descent reaches; a logit >= 0 goes right, in training as in inference."""
    nodes = node_logits.shape[-1]
    at = torch.zeros(node_logits.shape[:-1], dtype=torch.int64, device=node_logits.device)
    for _ in range((nodes + 1).bit_length() - 1):
        right = node_logits.gather(-1, at.unsqueeze(-1)).squeeze(-1) >= 0
        at = 2 * at + 1 + right
    return at - nodes


def _uniform(*shape: int, fan_in: int) -> nn.Parameter:
    bound = fan_in**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _master(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    # nn.Linear draws from +-1/sqrt(fan in): the second layer's bound is that of the master's own width, where the
    # released code takes the leaf's.
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs))

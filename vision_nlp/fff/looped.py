"""A training step in the form of the released code of arXiv 2405.16836, rewritten: the rival of ours in the bench.

What makes that form slow is kept: the mixture is multiplied together in a Python loop over levels and leaves, one
column at a time, and so is the hard one beside it; and the outputs of all leaves lie in one (B, N, O) tensor. What the
released code computes twice is computed once.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vision_nlp.fff.losses import node_entropy
from vision_nlp.fff.model import FFF


def looped_loss(
    model: FFF,
    x: Float[Tensor, "batch inputs"],
    y: Tensor,
    harden: float,
    balance: float,
) -> Tensor:
    """Cross-entropy + h * entropy + alpha * balance of the soft forward: the same number as ``train.soft_step``.

    ``y``: int64 (batch,).
    """
    node_logits = model.node_logits(x)
    mixture, load = _paths(model.depth, node_logits.sigmoid())
    task = F.cross_entropy(_outputs(model, x, mixture), y)
    # N * sum_i f_i P_i of the sums over the batch
    even = model.leaves * (mixture.sum(0) * load.sum(0)).sum() / len(x) ** 2
    return task + harden * node_entropy(node_logits) + balance * even


def _paths(
    depth: int, decisions: Float[Tensor, "batch nodes"]
) -> tuple[Float[Tensor, "batch leaves"], Float[Tensor, "batch leaves"]]:
    """Soft and hard weight of each leaf."""
    leaves = 1 << depth
    mixture, load = decisions.new_ones(len(decisions), leaves), decisions.new_ones(len(decisions), leaves)
    for level in range(depth):
        for leaf in range(leaves):
            # The first digits of a leaf's number name its ancestor on the level, the next one the turn taken there.
            c = decisions[:, (1 << level) - 1 + (leaf >> depth - level)]
            right = leaf >> depth - level - 1 & 1
            mixture[:, leaf] *= c if right else 1 - c
            load[:, leaf] *= ((c >= 0.5) if right else (c < 0.5)).float()
    return mixture, load


def _outputs(
    model: FFF, x: Float[Tensor, "batch inputs"], mixture: Float[Tensor, "batch leaves"]
) -> Float[Tensor, "batch outputs"]:
    hidden = torch.einsum("bi,nli->bnl", x, model.w1) + model.b1
    each = torch.einsum("bnl,nol->bno", hidden.relu(), model.w2) + model.b2
    leaves = (mixture.unsqueeze(-1) * each).sum(1)
    if model.master is None or model.k is None:
        return leaves
    share = model.k.sigmoid()
    return share * leaves + (1 - share) * model.master(x)

"""The objective: L = L_prediction + h * L_harden + alpha * L_balance (arXiv 2405.16836, section 3)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vision_nlp.fff.model import descend

CLAMP = 1e-6
"""Node probabilities stay this far from 0 and 1, as in the released code."""


def node_entropy(node_logits: Float[Tensor, "*batch nodes"]) -> Float[Tensor, ""]:
    """Entropy of the decisions in nats, the mean over batch and nodes (arXiv 2308.14711); 0 for a tree without nodes.

    The papers write a sum; the mean is what their scripts weigh with h, and it does not change with batch or depth.
    """
    if not node_logits.numel():
        return node_logits.sum()
    c = node_logits.sigmoid().clamp(CLAMP, 1 - CLAMP)
    return -(c * c.log() + (1 - c) * (1 - c).log()).mean()


def leaf_balance(
    mixture: Float[Tensor, "batch leaves"], node_logits: Float[Tensor, "batch nodes"]
) -> Float[Tensor, ""]:
    """N * sum_i f_i P_i: 1 when the load is uniform, N when one leaf takes all.

    f_i is the share of inputs whose hard descent ends in leaf i (no gradient), P_i the mean soft weight of leaf i.
    Divided by the actual batch, so that a short last one counts in full.
    """
    leaves = mixture.shape[-1]
    with torch.no_grad():
        f = F.one_hot(descend(node_logits), leaves).to(mixture.dtype).mean(0)
    return leaves * (f * mixture.mean(0)).sum()

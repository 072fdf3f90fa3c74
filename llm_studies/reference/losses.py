"""Binary cross-entropy over all labels of all texts."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def positive_weights(rates: Float[Tensor, "labels"], balance: float) -> Float[Tensor, "labels"]:
    """((1 - r) / r)^balance: 1 at balance 0; at balance 1 positive and negative cells of a label weigh the same."""
    r = rates.clamp(1e-3, 1 - 1e-3)
    return ((1 - r) / r) ** balance


def multi_label(
    logits: Float[Tensor, "batch labels"], truth: Float[Tensor, "batch labels"], weights: Float[Tensor, "labels"]
) -> Float[Tensor, ""]:
    """Mean over cells of -(w y log p + (1 - y) log(1 - p)) with p = sigmoid(logit)."""
    return F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weights)

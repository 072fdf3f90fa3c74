"""Cross-entropy of the whole network and, where asked for, of every sub-network through the shared head."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(
    logits: Float[Tensor, "batch classes"], target: Float[Tensor, "batch classes"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean over the batch, in nats, against class shares; ``smoothing`` of them is spread over all classes."""
    return F.cross_entropy(logits, target, label_smoothing=smoothing)


def exit_weights(depth: int) -> Float[Tensor, " depth"]:
    """Of sub-networks 1..L; they grow with depth and add up to 1."""
    # arXiv 2506.09714, appendix H, shared head: w_l = 2 (l + 1) / (L (L + 1)) for l = 0..L-1, here k = l + 1
    k = torch.arange(1, depth + 1, dtype=torch.float32)
    return 2 * k / (depth * (depth + 1))


def exit_loss(
    logits: Float[Tensor, "depth_1 batch classes"], target: Float[Tensor, "batch classes"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Weighted mean of the cross-entropies of sub-networks 1..L; sub-network 0, the bare embedding, does not count."""
    losses = torch.stack([cross_entropy(read, target, smoothing) for read in logits[1:]])
    return (exit_weights(len(losses)).to(losses.device) * losses).sum()

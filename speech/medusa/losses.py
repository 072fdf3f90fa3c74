"""Soft cross-entropy and attribute error (arXiv 2506.09556; specification, sections 2.2 and 2.5)."""

import torch
from jaxtyping import Float
from torch import Tensor

from speech.medusa.config import Weights


def soft_cross_entropy(
    logits: Float[Tensor, "batch classes"],
    targets: Float[Tensor, "batch classes"],
    weights: Float[Tensor, "classes"] | None = None,
) -> Float[Tensor, ""]:
    """-(1/B) sum_i sum_c w_c y_ic log softmax(logits_i)_c.

    Divided by the batch as torch does with probability targets; with class numbers torch divides by the summed weights
    instead, and the emotion weight of 1.5 was tuned on the former.
    """
    log_p = torch.log_softmax(logits, 1)
    return -(targets * log_p if weights is None else weights * targets * log_p).sum(1).mean()


def attribute_error(
    said: Float[Tensor, "batch attributes"], truth: Float[Tensor, "batch attributes"]
) -> Float[Tensor, ""]:
    """Mean squared error over what was judged; 0 where nothing was."""
    judged = ~truth.isnan()
    # Filled in before the difference: the gradient of a NaN that is masked afterwards is NaN.
    apart = torch.where(judged, said - torch.where(judged, truth, said.detach()), 0.0)
    return apart.square().sum() / judged.sum().clamp(min=1)


def total(emotion: Float[Tensor, ""], attributes: Float[Tensor, ""] | None, weights: Weights) -> Float[Tensor, ""]:
    """L = 1.5 CE_w + 0.4 MSE; without the second part where attributes are not learnt."""
    return weights.emotion * emotion + (0.0 if attributes is None else weights.attributes * attributes)


def class_weights(targets: Float[Tensor, "rows classes"], exponent: float = 0.5) -> Float[Tensor, "classes"]:
    """w_c = (N / (|C| f_c))^exponent, f_c the summed soft mass of class c over the rows that are learnt from.

    1 for a class without any mass: its term of the loss is 0 whatever its weight.
    """
    mass = targets.sum(0)
    weights = (mass.sum() / (targets.shape[1] * mass)) ** exponent
    return torch.where(mass > 0, weights, 1.0)

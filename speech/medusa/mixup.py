"""Manifold MixUp (arXiv 2506.09556, section "Manifold MixUp"; arXiv 1806.05236) of hidden vectors and labels."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from speech.medusa.config import MixUp


class Mix(NamedTuple):
    """One draw for a whole batch, applied to vectors and labels alike."""

    share: Float[Tensor, "batch"]
    """lambda of every sample, what it keeps of itself."""
    partner: Int[Tensor, "batch"]
    """pi: the row that the rest comes from."""

    def apply(self, values: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """lambda x_i + (1 - lambda) x_pi(i); NaN where one that counts is NaN."""
        share = self.share[:, None]
        mixed = share * values + (1 - share) * values[self.partner]
        # alpha < 1 rounds many a lambda to 1, and 0 times an attribute that nobody judged is no number.
        return torch.where(share == 1, values, mixed)


def draw(batch: int, config: MixUp, device: torch.device) -> Mix | None:
    """With probability p a mix with lambda ~ Beta(alpha, alpha) per sample (released code), else None.

    From torch's global generator, which checkpoints keep.
    """
    if torch.rand(()) >= config.p:
        return None
    alpha = torch.tensor(config.alpha)
    share = torch.distributions.Beta(alpha, alpha).sample((batch,))
    return Mix(share.to(device), torch.randperm(batch).to(device))

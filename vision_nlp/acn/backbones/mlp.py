"""A perceptron of pre-norm blocks over the whole picture at once: one token."""

from jaxtyping import Float
from torch import Tensor, nn


class Whole(nn.Module):
    """Flattened pictures to the one token of a perceptron."""

    def __init__(self, pixels: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(pixels, width)

    def forward(self, pixels: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch 1 width"]:
        """Linear: x_0 reads the picture and mixes nothing."""
        return self.project(pixels)[:, None]


class MlpBlock(nn.Module):
    """f(x) = W2 GELU(W1 LN(x)); with ``skips`` f(x) + x."""

    def __init__(self, width: int, hidden: int, dropout: float, *, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(dropout))

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Each token alone."""
        out = self.feed(self.norm(x))
        return x + out if self.skips else out

"""The modules that in-project streams are made by, besides the encoders themselves."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from common.audio.frames import FEATURES, MELS
from contracts.speech import FRAMES, FUNCTIONALS, IDS
from speech.medusa.config import Stream
from speech.medusa.model import Padded

PARTS = {"all": slice(0, FEATURES), "mel": slice(0, MELS), "descriptors": slice(MELS, FEATURES)}
"""Columns of the front end."""


class Sliced(nn.Module):
    """Some features of every frame, or of the mean of neighbouring frames."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.part, self.pool = PARTS[stream.part], stream.pool

    def forward(self, padded: Padded) -> Padded:
        return pooled(Padded(padded.x[..., self.part], padded.mask), self.pool)


def pooled(padded: Padded, pool: int) -> Padded:
    """The mean of every ``pool`` neighbours; the last one of a clip is over what is left of it."""
    if pool == 1:
        return padded
    x, mask = padded
    # One less than a whole group more: the last group is complete, and nothing depends on the number of frames.
    x = F.pad(x.masked_fill(~mask[..., None], 0.0), (0, 0, 0, pool - 1))
    weights = F.pad(mask.to(x.dtype), (0, pool - 1))[:, None, :]
    totals = F.avg_pool1d(x.transpose(1, 2), pool)
    shares = F.avg_pool1d(weights, pool)
    # The smallest share of a frame that is there is 1 / pool.
    return Padded((totals / shares.clamp(min=0.5 / pool)).transpose(1, 2), shares[:, 0] > 0)


class Read(nn.Module):
    """A text encoder; an empty transcript is one zero vector (released code)."""

    reads = IDS

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]) -> Padded:
        """An empty transcript has a single token that the mask hides."""
        x = self.network(ids, mask).x.masked_fill(~mask[..., None], 0.0)
        first = torch.arange(mask.shape[1], device=mask.device) == 0
        return Padded(x, mask | (first & ~mask.any(1, keepdim=True)))


class Described(nn.Module):
    """The functionals of a clip as a sequence of one vector."""

    reads = FUNCTIONALS

    def forward(self, x: Float[Tensor, "batch functionals"]) -> Padded:
        return Padded(x[:, None, :], torch.ones_like(x[:, :1], dtype=torch.bool))


def reads(source: nn.Module) -> str:
    """Which of the corpus' own streams a source is a function of: FRAMES, unless it says so."""
    return getattr(source, "reads", FRAMES)

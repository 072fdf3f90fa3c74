"""What a stream passes before DeepSER: standardisation, augmentation in training, convolutions over its frames.

Nothing here looks at another clip of the batch: normalisation is over the features of one frame, augmentation is drawn
for each clip.
"""

import itertools
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from speech.medusa.config import Augment, Stem, Stream
from speech.medusa.model import Padded


class Front(nn.Module):
    """The stem of one stream: standardise, augment (training only), convolve."""

    def __init__(self, stream: Stream, dim: int) -> None:
        super().__init__()
        self.standardised, self.cut = stream.standardise, stream.cut
        self.scale = Standardise(dim)
        self.augment = Augmented(stream.augment)
        self.convolve = None if stream.stem is None else CONVOLUTIONS[stream.stem.kind](stream.stem, dim)
        self.dim = dim if self.convolve is None else self.convolve.dim

    def forward(self, padded: Padded) -> Padded:
        padded = self.scale(padded)
        if self.cut is not None:
            padded = Padded(padded.x.clamp(-self.cut, self.cut), padded.mask)
        padded = self.augment(padded)
        return padded if self.convolve is None else self.convolve(padded)


class Standardise(nn.Module):
    """(x - mean) / deviation of every feature, with figures of the training frames; the identity until ``fit``."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))

    def fit(self, frames: Float[Tensor, "frames dim"]) -> None:
        """A feature that never changes keeps deviation 1."""
        self.fit_clips([frames])

    def fit_clips(self, clips: Iterable[Tensor]) -> None:
        """As ``fit``, of the frames of all clips (frames, dim), one clip in memory at a time."""
        # About the first frame: the difference of two large squares would lose what small deviations are.
        count, centre = 0, torch.zeros(0)
        first = second = torch.zeros(())
        for clip in clips:
            centre = centre if count else clip[0].double()
            apart = clip.double() - centre
            count, first, second = count + len(clip), first + apart.sum(0), second + apart.square().sum(0)
        mean = first / count
        deviation = (second / count - mean.square()).clamp(min=0).sqrt()
        self.mean.copy_(centre + mean)
        # Relative to the mean: a constant in float32 differs from its own mean by rounding.
        self.deviation.copy_(torch.where(deviation > 1e-6 * (1 + self.mean.abs()), deviation, 1.0))

    def forward(self, padded: Padded) -> Padded:
        return Padded((padded.x - self.mean) / self.deviation, padded.mask)


class Augmented(nn.Module):
    """Time and band masks, noise, gain and lost features; the identity outside training."""

    def __init__(self, config: Augment) -> None:
        super().__init__()
        self.config = config

    def forward(self, padded: Padded) -> Padded:
        config, (x, mask) = self.config, padded
        if not self.training or config == Augment():
            return padded
        clips, _, dim = x.shape
        x = x + config.noise * torch.randn_like(x) + config.gain * torch.randn(clips, 1, 1, device=x.device)
        lost = torch.rand(clips, 1, dim, device=x.device) < config.dropout
        for _ in range(config.band_masks):
            lost = lost | stretch(x.new_full((clips,), dim).long(), config.band_share, dim)[:, None, :]
        for _ in range(config.time_masks):
            lost = lost | stretch(mask.sum(1), config.time_share, mask.shape[1])[:, :, None]
        return Padded(x.masked_fill(lost, 0.0), mask)


def stretch(lengths: Int[Tensor, "clips"], share: float, size: int) -> Bool[Tensor, "clips size"]:
    """True on one run of up to ``share`` of each length, at any place in it."""
    drawn = torch.rand(2, len(lengths), device=lengths.device)
    run = drawn[0] * share * lengths
    start = drawn[1] * (lengths - run)
    at = torch.arange(size, device=lengths.device)
    return (at >= start[:, None]) & (at < (start + run)[:, None].floor())


class TimeConvolutions(nn.Module):
    """Blocks over time with the features of a frame as channels; each halves the frames."""

    def __init__(self, config: Stem, dim: int) -> None:
        super().__init__()
        sizes = [dim, *config.channels]
        self.dim = sizes[-1]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(i, o, config.kernel, stride=2, padding=config.kernel // 2) for i, o in itertools.pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(o) for o in config.channels)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, padded: Padded) -> Padded:
        x, mask = padded
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            # The zeros of padding frames are those that a clip on its own has beyond its end.
            x = convolve(x.masked_fill(~mask[..., None], 0.0).transpose(1, 2)).transpose(1, 2)
            mask = mask[:, ::2]
            x = self.drop(F.relu(norm(x)))
        return Padded(x, mask)


class PictureConvolutions(nn.Module):
    """Blocks over time and neighbouring features; each halves both. The rest of the features becomes channels."""

    def __init__(self, config: Stem, dim: int) -> None:
        super().__init__()
        sizes, bands = [1, *config.channels], dim
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        for i, o in itertools.pairwise(sizes):
            self.convolutions.append(nn.Conv2d(i, o, config.kernel, stride=2, padding=config.kernel // 2))
            bands = (bands + 1) // 2
            self.norms.append(nn.LayerNorm(o))
        self.dim = sizes[-1] * bands
        self.drop = nn.Dropout(config.dropout)

    def forward(self, padded: Padded) -> Padded:
        x, mask = padded.x[:, None], padded.mask
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolve(x.masked_fill(~mask[:, None, :, None], 0.0))
            mask = mask[:, ::2]
            # Over the channels of one frame and band: no clip sees another, nor a frame its neighbours' level.
            x = self.drop(F.relu(norm(x.movedim(1, -1)).movedim(-1, 1)))
        return Padded(x.permute(0, 2, 1, 3).flatten(2), mask)


CONVOLUTIONS = {"time": TimeConvolutions, "picture": PictureConvolutions}

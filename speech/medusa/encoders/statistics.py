"""What a listener could measure: moments of every frame feature over windows, without a parameter to learn."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from common.audio.frames import HOP, NAMES, RATE
from speech.medusa.model import Padded

FUNCTIONALS = ("mean", "std", "min", "max", "slope", "voiced_mean", "voiced_std")
"""Of every frame feature, and again of its difference from frame to frame."""
SECONDS = HOP / RATE
"""From frame to frame."""
LEAST = 1e-3
"""A standard deviation below it is taken for a constant."""
TINY = 1e-5
"""Least squared spread of the frames of a window in time, summed over pairs; two frames have 1e-4 s^2."""
SMALL = 1e-4
"""Added to variances: near zero their root would magnify rounding."""


class Statistics(nn.Module):
    """``FUNCTIONALS`` of frames and of their differences over windows, standardised by constants of the training rows.

    Window k is centred on the k-th hop and holds what the recording has of it, so that a recording of n frames gives
    ceil(n / hop) rows. Without a ``window`` the whole recording is the only one. Nothing under a false mask, and no
    other row of the batch, has any influence.
    """

    mean: Tensor
    std: Tensor
    out_mean: Tensor
    out_std: Tensor

    def __init__(self, names: Sequence[str] = NAMES, window: int | None = 100, hop: int = 25) -> None:
        """``names``: of the frame features; ``voicing``, in [0, 1], must be among them."""
        super().__init__()
        if window is not None and window < hop:
            raise ValueError(f"a window of {window} frames is shorter than its hop of {hop}")
        self.names, self.voicing, self.window, self.hop = tuple(names), names.index("voicing"), window, hop
        self.dim = 2 * len(FUNCTIONALS) * len(names)
        self.register_buffer("mean", torch.zeros(len(names)))
        self.register_buffer("std", torch.ones(len(names)))
        self.register_buffer("out_mean", torch.zeros(self.dim))
        self.register_buffer("out_std", torch.ones(self.dim))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the results: the means of all features and differences first, then their deviations ..."""
        described = (*self.names, *(f"{name}_difference" for name in self.names))
        return tuple(f"{name}_{functional}" for functional in FUNCTIONALS for name in described)

    def fit(self, frames: Sequence[np.ndarray]) -> None:
        """Set the constants from training rows: float32 (frames, features) each. Raises ValueError without a row."""
        if not frames:
            raise ValueError("no row to fit the constants on")
        _set(self.mean, self.std, np.concatenate(frames))
        self.out_mean.zero_()
        self.out_std.fill_(1.0)
        with torch.no_grad():
            found = [self(_alone(clip)).x[0].numpy() for clip in frames]
        _set(self.out_mean, self.out_std, np.concatenate(found))

    def forward(self, padded: Padded) -> Padded:
        """(batch, frames, features) -> (batch, windows, dim)."""
        mask = padded.mask
        x = padded.x.masked_fill(~mask[..., None], 0.0)
        voiced = x[..., self.voicing, None]
        x = (x - self.mean) / self.std
        x = torch.cat([x, F.pad(x[:, 1:] - x[:, :-1], (0, 0, 1, 0))], -1).masked_fill(~mask[..., None], 0.0)
        area = Whole(mask) if self.window is None else Windows(mask, self.window, self.hop)
        found = torch.cat(functionals(x, voiced, area), -1)
        found = (found - self.out_mean) / self.out_std
        return Padded(found.masked_fill(~area.kept[..., None], 0.0), area.kept)


@runtime_checkable
class Area(Protocol):
    """Where frames are brought together. What is summed must be zero under a false mask."""

    mask: Bool[Tensor, "batch frames"]
    kept: Bool[Tensor, "batch windows"]
    """Windows that hold a frame."""

    def sum(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]: ...
    def ramp(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        """The sum of t z, with the time t in seconds from somewhere in the window."""
        ...

    def ramp_square(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        """The sum of t^2 z."""
        ...

    def top(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        """The largest under a true mask."""
        ...


def functionals(
    x: Float[Tensor, "batch frames c"], voiced: Float[Tensor, "batch frames 1"], area: Area
) -> list[Tensor]:
    """In the order of FUNCTIONALS, (batch, windows, c) each.

    Voiced moments weigh every frame by how sure it is voiced; the plain moments enter with the weight of one frame, so
    that they stand for a window without a voice.
    """
    present = area.mask[..., None].to(x.dtype)
    c = x.shape[-1]
    # Together: each sum is a convolution of its own otherwise.
    n, certain, x1, x2, v1, v2 = area.sum(torch.cat([present, voiced, x, x * x, voiced * x, voiced * x * x], -1)).split(
        [1, 1, c, c, c, c], -1
    )
    n = n.clamp(min=1.0)
    mean, square = x1 / n, x2 / n
    # Least squares: (n sum(tx) - sum(t) sum(x)) / (n sum(t^2) - sum(t)^2)
    t, tx = area.ramp(torch.cat([present, x], -1)).split([1, c], -1)
    slope = (n * tx - t * x1) / (n * area.ramp_square(present) - t * t).clamp(min=TINY)
    voiced_mean, voiced_square = (v1 + mean) / (certain + 1.0), (v2 + square) / (certain + 1.0)
    low, high = area.top(torch.cat([-x, x], -1)).split([c, c], -1)
    return [
        mean,
        deviation(mean, square),
        -low,
        high,
        slope,
        voiced_mean,
        deviation(voiced_mean, voiced_square),
    ]


def deviation(mean: Tensor, square: Tensor) -> Tensor:
    """sqrt(E[x^2] - E[x]^2); x is standardised, so that little is lost in the difference."""
    return (F.relu(square - mean * mean) + SMALL).sqrt()


class Whole:
    """One window: the recording."""

    def __init__(self, mask: Bool[Tensor, "batch frames"]) -> None:
        self.mask, self.kept = mask, mask[:, :1]
        place = torch.arange(mask.shape[1], device=mask.device)
        middle = (mask.sum(1, keepdim=True) - 1) / 2
        self.time = ((place - middle) * SECONDS)[..., None]

    def sum(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return z.sum(1, keepdim=True)

    def ramp(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return self.sum(self.time * z)

    def ramp_square(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return self.sum(self.time**2 * z)

    def top(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return z.masked_fill(~self.mask[..., None], torch.finfo(z.dtype).min).amax(1, keepdim=True)


class Windows:
    """Windows of ``window`` frames, one for each ``hop`` frames, centred on these."""

    def __init__(self, mask: Bool[Tensor, "batch frames"], window: int, hop: int) -> None:
        self.mask, self.window, self.hop = mask, window, hop
        left = (window - hop) // 2
        self.sides = (left, window - 1 - left)
        place = torch.arange(window, device=mask.device)
        self.time = (place - (window - 1) / 2) * SECONDS
        # Whether the hop begins within the recording. Not mask[:, ::hop]: the exporter cannot tell that it is as long.
        self.kept = self._weighed(mask[..., None].float(), (place == left).float())[..., 0] > 0.5

    def sum(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return self._weighed(z, torch.ones_like(self.time))

    def ramp(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return self._weighed(z, self.time)

    def ramp_square(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        return self._weighed(z, self.time**2)

    def top(self, z: Float[Tensor, "batch frames c"]) -> Float[Tensor, "batch windows c"]:
        lowest = torch.finfo(z.dtype).min
        z = rearrange(z.masked_fill(~self.mask[..., None], lowest), "b l c -> b c 1 l")
        # Not max_pool1d, which the exporter takes for one of a fixed length.
        found = F.max_pool2d(F.pad(z, self.sides, value=lowest), (1, self.window), (1, self.hop))
        return rearrange(found, "b c 1 l -> b l c")

    def _weighed(self, z: Float[Tensor, "batch frames c"], weight: Float[Tensor, "window"]) -> Tensor:
        b = z.shape[0]
        flat = F.pad(rearrange(z, "b l c -> (b c) 1 l"), self.sides)
        return rearrange(F.conv1d(flat, weight[None, None], stride=self.hop), "(b c) 1 l -> b l c", b=b)


def _set(mean: Tensor, std: Tensor, rows: np.ndarray) -> None:
    """Moments of float (n, c) rows; what does not vary keeps its scale."""
    rows = rows.astype(np.float64)
    spread = rows.std(0)
    mean.copy_(torch.from_numpy(rows.mean(0)))
    std.copy_(torch.from_numpy(np.where(spread < LEAST, 1.0, spread)))


def _alone(clip: np.ndarray) -> Padded:
    x = torch.from_numpy(clip)[None]
    return Padded(x, torch.ones(x.shape[:2], dtype=torch.bool))

"""Random changes of a batch of pictures. Every draw is made on the CPU, from the generator given, on any device."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vision_nlp.acn.config import Data

Pictures = Float[Tensor, "batch height width channels"]


class Batch(NamedTuple):
    x: Tensor
    """float32 (batch, height * width * channels)"""
    target: Tensor
    """float32 (batch, classes): one-hot, or the shares of two classes after CutMix"""


def plain(x: Tensor, y: Tensor, classes: int) -> Batch:
    """The batch as it is."""
    return Batch(x, F.one_hot(y, classes).to(x.dtype))


def augment(batch: Batch, shape: tuple[int, int, int], data: Data, generator: torch.Generator) -> Batch:
    """The changes that ``data.augment`` asks for; ``shape`` is (channels, height, width) of a picture."""
    wanted = data.augment
    channels, height, width = shape
    x, target = batch.x.view(-1, height, width, channels), batch.target
    if wanted.shift:
        x = shift(x, wanted.shift, (0 - data.mean) / data.std, generator)
    if wanted.flip:
        x = flip(x, generator)
    if wanted.cutmix and float(torch.rand((), generator=generator)) < wanted.cutmix:
        x, target = cutmix(x, target, generator)
    return Batch(x.reshape(len(x), -1), target)


def shift(x: Pictures, most: int, ground: float, generator: torch.Generator) -> Pictures:
    """Move every picture by up to ``most`` pixels along each axis: a random crop of the padded picture."""
    batch, height, width, _ = x.shape
    padded = F.pad(x, (0, 0, most, most, most, most), value=ground)
    down, right = torch.randint(2 * most + 1, (2, batch, 1), generator=generator).to(x.device)
    rows = (down + torch.arange(height, device=x.device))[:, :, None]
    columns = (right + torch.arange(width, device=x.device))[:, None, :]
    return padded[torch.arange(batch, device=x.device)[:, None, None], rows, columns]


def flip(x: Pictures, generator: torch.Generator) -> Pictures:
    """Mirror each picture, left to right, with probability one half."""
    mirrored = torch.rand(len(x), 1, 1, 1, generator=generator).to(x.device) < 0.5
    return torch.where(mirrored, x.flip(2), x)


def cutmix(
    x: Pictures, target: Float[Tensor, "batch classes"], generator: torch.Generator
) -> tuple[Pictures, Float[Tensor, "batch classes"]]:
    """Give every picture one rectangle, the same for the batch, of another picture of the batch (arXiv 1905.04899).

    The share kept is drawn from Beta(1, 1), which is uniform; the targets are mixed by the pixels that really changed.
    """
    _, height, width, _ = x.shape
    kept, down, right = torch.rand(3, generator=generator).tolist()
    side = (1 - kept) ** 0.5
    top, bottom = _span(down, side, height)
    left, end = _span(right, side, width)
    other = torch.randperm(len(x), generator=generator).to(x.device)
    mixed = x.clone()
    mixed[:, top:bottom, left:end] = x[other, top:bottom, left:end]
    taken = (bottom - top) * (end - left) / (height * width)
    return mixed, (1 - taken) * target + taken * target[other]


def _span(centre: float, side: float, length: int) -> tuple[int, int]:
    """Pixels [from, to) of a side around a centre, both as shares of ``length``, cut at the edges."""
    middle, half = int(centre * length), int(side * length) // 2
    return max(0, middle - half), min(length, middle + half)

"""Pictures as the rows that a network takes, by the same function that the server uses."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from common.data.images import Images, Known, hold_out, load_images
from contracts.models import ImageInput
from vision_nlp.features import normalise


class Source(Protocol):
    """What a configuration says of its pictures, in its part ``data``."""

    @property
    def name(self) -> str: ...
    @property
    def validation(self) -> float: ...
    @property
    def mean(self) -> float: ...
    @property
    def std(self) -> float: ...


class Rows(NamedTuple):
    x: Tensor
    """float32 (n, height * width * channels), in this order"""
    y: Tensor
    """int64 (n,)"""


class Splits(NamedTuple):
    train: Rows
    validation: Rows
    test: Rows
    images: Images

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a picture."""
        return shape(self.images.known)

    @property
    def classes(self) -> int:
        return len(self.images.known.labels)


def shape(known: Known) -> tuple[int, int, int]:
    """(channels, height, width) of the pictures of a set."""
    return known.channels, known.size, known.size


def image_input(data: Source, known: Known) -> ImageInput:
    """How a picture becomes an input: part of the model card."""
    channels = 1 if known.channels == 1 else 3
    return ImageInput(height=known.size, width=known.size, channels=channels, mean=data.mean, std=data.std)


def load(data: Source, seed: int, folder: Path | None, device: torch.device) -> Splits:
    """The set under ``folder``, its validation rows drawn by ``seed``. Raises OperatorError as ``load_images`` does."""
    images = load_images(data.name, folder)
    spec = image_input(data, images.known)
    kept, held = hold_out(len(images.train.labels), data.validation, seed)

    def rows(pixels: np.ndarray, labels: np.ndarray) -> Rows:
        return Rows(torch.from_numpy(normalise(pixels, spec)).to(device), torch.from_numpy(labels).to(device))

    train, test = images.train, images.test
    return Splits(
        rows(train.images[kept], train.labels[kept]),
        rows(train.images[held], train.labels[held]),
        rows(test.images, test.labels),
        images,
    )

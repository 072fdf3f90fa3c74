"""The stand-in's configuration."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Positive, Record


class Optim(Record, kw_only=True):
    """How it would learn."""

    lr: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """Step size."""
    betas: tuple[float, float] = (0.9, 0.99)


class Config(Record, kw_only=True):
    """Of the stand-in."""

    epochs: Positive = 3
    shuffle: bool = True
    optim: Optim = Optim()

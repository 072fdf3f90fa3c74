"""The settings of the suite's own encoders and of their pre-training. Free of torch: the command line reads them."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Positive, Record

Share = Annotated[float, Meta(gt=0.0, lt=1.0)]


class Acoustic(Record, frozen=True, kw_only=True):
    """Convolutions that leave a frame each 40 ms, then transformer layers over these."""

    width: Annotated[int, Meta(ge=8, le=1024)] = 96
    layers: Annotated[int, Meta(ge=1, le=24)] = 3
    heads: Positive = 4
    feed_forward: Positive = 384
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")


class Text(Acoustic, frozen=True, kw_only=True):
    """Token vectors, then transformer layers over these."""

    width: Annotated[int, Meta(ge=8, le=1024)] = 64
    layers: Annotated[int, Meta(ge=1, le=24)] = 2
    feed_forward: Positive = 256


class Clusters(Record, frozen=True, kw_only=True):
    """What stands for a hidden frame: the number of its cluster (HuBERT, arXiv 2106.07447, first iteration)."""

    count: Annotated[int, Meta(ge=2, le=2_000)] = 100
    """k of k-means."""
    frames: Positive = 200_000
    """At most as many frames, of 40 ms, make the clusters."""


class Masked(Record, frozen=True, kw_only=True):
    """Pre-training: what is hidden must be found again."""

    epochs: Positive = 20
    lr: Annotated[float, Meta(gt=0.0, le=5e-3)] = 1e-3
    """Peak learning rate."""
    batch: Positive = 32
    share: Share = 0.5
    """Of the frames, or tokens, that are hidden."""
    span: Positive = 5
    """Hidden frames in a row: 40 ms each. Tokens are hidden one by one."""
    longest: Positive = 400
    """Frames of 10 ms: training hears a piece of a longer clip, another one each time."""
    warmup: Annotated[int, Meta(ge=0)] = 100
    """Steps."""
    weight_decay: Annotated[float, Meta(ge=0.0)] = 0.01
    clip: Annotated[float, Meta(gt=0.0)] = 1.0
    """Largest norm of the gradient."""
    checkpoint_every: Positive = 200
    """Steps between two checkpoints from which a killed run resumes."""

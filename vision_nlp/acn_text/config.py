"""The settings of the auto-compressing text encoder and of its training. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record
from vision_nlp.acn.config import Mode

Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
Texts = Annotated[int, Meta(ge=1, le=20_000)]


class Generated(Record, frozen=True, kw_only=True):
    """Sizes of the generated data set."""

    train: Texts = 1_500
    dev: Texts = 300
    test: Texts = 300


class Data(Record, frozen=True, kw_only=True):
    """What is learnt from, under its own splits."""

    name: Literal["generated", "goemotions"] = "generated"
    """``generated`` needs no file; ``goemotions`` is read from ``--data``, with all 28 labels."""
    generated: Generated = Generated()


class Tokens(Record, frozen=True, kw_only=True):
    """Byte-level BPE, learnt from the training texts alone."""

    vocabulary: Annotated[int, Meta(ge=300, le=50_000)] = 8_000
    longest: Annotated[int, Meta(ge=4, le=512)] = 64
    """Tokens of one text. Training cuts what is longer; the server refuses it."""


class Model(Record, frozen=True, kw_only=True):
    """The encoder: a class token, then the text; the head reads the class token of the sum."""

    mode: Mode = "acn"
    layers: Annotated[int, Meta(ge=1, le=24)] = 4
    """Blocks (L)."""
    width: Annotated[int, Meta(ge=8, le=1024)] = 128
    heads: Positive = 4
    dropout: Share = 0.1
    residual_weight: float | None = None
    """w of x_i = f_i(x_{i-1}) + w * x_{i-1} in mode acn: none or 0 is ACN."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.residual_weight is not None and self.mode != "acn":
            raise ValueError(f"residual_weight belongs to mode acn, not to {self.mode}; leave it out")


class Masked(Record, frozen=True, kw_only=True):
    """Pre-training on the training texts without their labels; 0 epochs skip it."""

    epochs: Annotated[int, Meta(ge=0)] = 4
    lr: Annotated[float, Meta(gt=0.0)] = 1e-3
    """Peak learning rate."""
    share: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.15
    """Of each text's tokens that are to be found again."""


class Classify(Record, frozen=True, kw_only=True):
    """Binary cross-entropy over all labels."""

    epochs: Positive = 6
    lr: Annotated[float, Meta(gt=0.0)] = 5e-4
    """Peak learning rate."""
    word_dropout: Share = 0.1
    """Share of the tokens that are replaced by the unknown one."""


class Optim(Record, frozen=True, kw_only=True):
    """AdamW, built anew for each phase; cosine to 0 after a warm-up."""

    batch: Positive = 128
    """Texts in one step, over all processes."""
    warmup: Annotated[int, Meta(ge=0)] = 200
    """Steps of each phase."""
    weight_decay: Annotated[float, Meta(ge=0.0)] = 0.01
    clip: Annotated[float, Meta(gt=0.0)] | None = 1.0
    """Largest norm of the gradient; none: not clipped."""
    checkpoint_every: Positive = 200
    """Steps between two checkpoints from which a killed run resumes."""


class Config(Record, frozen=True, kw_only=True):
    """A whole training of an auto-compressing text encoder."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """Of the generated texts, the order and the initial weights."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    data: Data = Data()
    tokens: Tokens = Tokens()
    model: Model = Model()
    masked: Masked = Masked()
    classify: Classify = Classify()
    optim: Optim = Optim()
    tolerance: Annotated[float, Meta(ge=0.0, le=100.0)] = 0.5
    """Points of micro-F1 on dev that the cut network may lose."""

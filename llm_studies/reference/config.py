"""The settings of the supervised reference and of its training. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record

Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]


class Generated(Record, frozen=True, kw_only=True):
    """Sizes of the generated data set."""

    train: Annotated[int, Meta(ge=1, le=5_000)] = 2_000
    dev: Annotated[int, Meta(ge=1, le=5_000)] = 300
    test: Annotated[int, Meta(ge=1, le=5_000)] = 300


class Data(Record, frozen=True, kw_only=True):
    """What is learnt from: a data set of the priors studies, under their own splits."""

    name: Literal["generated", "goemotions", "hs_brexit"] = "generated"
    """``generated`` needs no file; the others are read from ``--data``."""
    annotator: str = "aggregate"
    """Whose labels are the truth; ``aggregate``: on where at least half of the annotators say so."""
    generated: Generated = Generated()


class Tokens(Record, frozen=True, kw_only=True):
    """Byte-level BPE, learnt from the training texts alone."""

    vocabulary: Annotated[int, Meta(ge=300, le=50_000)] = 8_000
    longest: Annotated[int, Meta(ge=4, le=512)] = 64
    """Tokens of one text; what follows is not read."""


class Model(Record, frozen=True, kw_only=True):
    """The encoder. One position per label name, then the text."""

    width: Annotated[int, Meta(ge=8, le=1024)] = 128
    layers: Annotated[int, Meta(ge=1, le=24)] = 2
    heads: Positive = 4
    dropout: Share = 0.2
    word_dropout: Share = 0.1
    """Share of the tokens that training replaces by the unknown one."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")


class Optim(Record, frozen=True, kw_only=True):
    """AdamW on the binary cross-entropy of all labels."""

    batch: Positive = 128
    """Texts in one step, over all processes."""
    epochs: Positive = 6
    lr: Annotated[float, Meta(gt=0.0)] = 1e-3
    """Peak learning rate, after a warm-up and before a cosine to 0."""
    warmup: Annotated[int, Meta(ge=0)] = 300
    """Steps."""
    weight_decay: NonNegative = 0.01
    clip: Annotated[float, Meta(gt=0.0)] | None = 1.0
    """Largest norm of the gradient; none: not clipped."""
    balance: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    """A positive cell of a label with rate r weighs ((1 - r) / r)^balance; 0: as a negative one."""
    checkpoint_every: Positive = 200
    """Steps between two checkpoints from which a killed run resumes."""


class Config(Record, frozen=True, kw_only=True):
    """A whole training of the supervised reference."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """Of the generated texts, the order and the initial weights."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    data: Data = Data()
    tokens: Tokens = Tokens()
    model: Model = Model()
    optim: Optim = Optim()

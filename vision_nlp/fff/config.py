"""The settings of a fast feedforward network and of its training. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record

NonNegative = Annotated[float, Meta(ge=0.0)]


class Data(Record, frozen=True, kw_only=True):
    """What is learnt from."""

    name: Literal["digits", "mnist", "fashion_mnist", "usps"] = "digits"
    """``digits`` is bundled with scikit-learn; the others are read from ``--data``."""
    validation: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.1
    """Share of the training set that selects checkpoints; the test set never does."""
    mean: float = 0.5
    """Subtracted from pixels in [0, 1]..."""
    std: Annotated[float, Meta(gt=0.0)] = 0.5
    """...and divided by."""


class Model(Record, frozen=True, kw_only=True):
    """The tree: 2^depth leaves, of which inference evaluates one."""

    depth: Annotated[int, Meta(ge=0, le=14)] = 4
    """Decisions on each path (d)."""
    leaf_width: Positive = 8
    """Hidden units of a leaf (l)."""
    master_width: Annotated[int, Meta(ge=0)] = 8
    """Hidden units of the leaf that always runs (arXiv 2405.16836); 0 leaves it out."""
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    """On the hidden units, in training."""
    region_leak: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.0
    """Probability that a decision is mirrored in training (arXiv 2308.14711, region leak)."""


class Optim(Record, frozen=True, kw_only=True):
    """AdamW, built anew for each phase."""

    batch: Positive = 256
    """Pictures in one step, over all processes."""
    accumulate: Positive = 1
    """Pieces that a step's batch is cut into, to fit the memory."""
    weight_decay: NonNegative = 0.01
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate, within a phase."""
    warmup: Annotated[int, Meta(ge=0)] = 0
    """Steps of a phase in which the learning rate rises from 0."""
    clip: Annotated[float, Meta(gt=0.0)] | None = None
    """Largest norm of the gradient; none: not clipped."""
    checkpoint_every: Positive = 500
    """Steps between two checkpoints from which a killed run resumes."""


class Phase(Record, frozen=True, kw_only=True):
    """A stretch of soft training; 0 epochs skip it."""

    epochs: Annotated[int, Meta(ge=0)]
    lr: Annotated[float, Meta(gt=0.0)] = 1e-3
    """Peak learning rate."""
    harden: NonNegative = 0.0
    """h: weight of the mean node entropy."""
    balance: NonNegative = 0.0
    """alpha: weight of the load balancing loss."""


class Tune(Record, frozen=True, kw_only=True):
    """Ours, not in the papers: the tree is frozen and the leaves are trained under hard routing with cross-entropy, so
    that training and serving compute the same function. 0 epochs skip it."""

    epochs: Annotated[int, Meta(ge=0)]
    lr: Annotated[float, Meta(gt=0.0)] = 1e-3
    """Peak learning rate."""


class Phases(Record, frozen=True, kw_only=True):
    """The two phases of arXiv 2405.16836, and a third of ours."""

    balance: Phase = Phase(epochs=20, harden=1.0, balance=1.0)
    harden: Phase = Phase(epochs=10, harden=3.0)
    tune: Tune = Tune(epochs=10)


class Config(Record, frozen=True, kw_only=True):
    """A whole training of a fast feedforward network."""

    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    """Of the split, the order and the initial weights."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    data: Data = Data()
    model: Model = Model()
    optim: Optim = Optim()
    phases: Phases = Phases()

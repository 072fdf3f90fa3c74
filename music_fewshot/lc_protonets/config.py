"""The settings of an embedding for LC-Protonets and of its training. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record

NonNegative = Annotated[float, Meta(ge=0.0)]
Rate = Annotated[float, Meta(gt=0.0)]
Epochs = Annotated[int, Meta(ge=0)]
Method = Literal["lcp", "ml_pn", "ovr"]


class Data(Record, frozen=True, kw_only=True):
    """What is learnt from; its tags are ordered by their frequency in training, base tags first."""

    name: Literal["generated", "rendered", "emotify", "makam_pitch", "cal500", "emotions"] = "generated"
    """``generated`` needs no file; the others are read from ``--data``."""
    validation_tags: Positive = 5
    """The last base tags: episodic training never draws them, its checkpoints are selected on them."""


class Model(Record, frozen=True, kw_only=True):
    """The network. Recordings go through the mel front-end, pictures straight to the convolutions, tables to an MLP."""

    sample_rate: Positive = 16_000
    window: Annotated[int, Meta(ge=512)] = 58_624
    """Samples of one row, 3.664 s: 230 frames, as in the released code, whose stated 3.69 s would give 231."""
    mels: Positive = 128
    """Bands from 0 Hz to half the sample rate."""
    channels: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (128, 128, 256, 256, 256, 256, 512)
    """Of the convolution blocks, each of which halves the picture; for a table: widths of the hidden layers."""
    dimensions: Positive = 512
    """Of the embedding."""
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.5
    """Before the classifier of the supervised phase."""


class Pretrain(Record, frozen=True, kw_only=True):
    """Supervised: binary cross-entropy on the base tags, random windows, Adam. 0 epochs skip it.

    The published recipe switches from Adam to SGD after 80 epochs and cuts the rate twice, going back to the best
    checkpoint each time. Ours is Adam under one cosine.
    """

    epochs: Epochs = 200
    lr: Rate = 1e-4
    """Peak learning rate."""
    weight_decay: NonNegative = 1e-4
    """Of Adam, as a part of the gradient."""
    batch: Positive = 16
    """Windows in one step, over all processes."""
    schedule: Literal["constant", "cosine"] = "cosine"


class Episodic(Record, frozen=True, kw_only=True):
    """Few-shot training, one episode a step. Its checkpoints are selected by macro-F1 on the validation tags."""

    epochs: Epochs = 200
    """0 leaves the pre-trained embedding as it is (the paper's set-up ``pre``)."""
    method: Method = "lcp"
    """The loss: over label combinations, over labels (ML-PN), or One-vs-Rest."""
    trained: Literal["full", "last"] = "full"
    """All weights, or the last layer alone: the rest, batch statistics too, then stays as it is to the bit."""
    lr: Rate = 1e-5
    """The released code takes 1e-6 from scratch, against its own comments. Here it is what stands here."""
    episodes: Positive = 50
    """Steps of an epoch."""
    episodes_per_step: Positive = 1
    """Over all processes; for One-vs-Rest an episode has a single query, so that more of them are no luxury."""
    ways: Positive = 10
    """Tags of an episode."""
    shots: Positive = 3
    """Support clips of each tag."""
    queries: Positive = 3
    """Query clips of each tag."""
    learned_scale: bool = False
    """Ours: a scale and a bias of the similarity, trained along."""
    validation_episodes: Positive = 20


class Evaluation(Record, frozen=True, kw_only=True):
    """The episodes of the test split."""

    seeds: Annotated[tuple[int, ...], Meta(min_length=2)] = (3, 4, 7, 13, 21)
    """One episode each; 3, 4, 7, 13 and 21 are the paper's."""
    ways: tuple[Positive, ...] = (5, 15, 30, 60)
    """Numbers of tags, where a split has as many; all tags are always asked as well."""
    shots: Positive = 3


class Config(Record, frozen=True, kw_only=True):
    """A whole training of an embedding. The paper's set-ups:

    - ``scratch``: ``--pretrain.epochs 0``
    - ``full``, ``last``: both phases, with ``--episodic.trained``
    - ``pre``: ``--episodic.epochs 0``
    """

    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    """Of the order, the windows, the episodes and the initial weights."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    start: str | None = None
    """Folder of a finished run to start from, in place of random weights."""
    checkpoint_every: Positive = 200
    """Steps between two checkpoints from which a killed run resumes."""
    data: Data = Data()
    model: Model = Model()
    pretrain: Pretrain = Pretrain()
    episodic: Episodic = Episodic()
    evaluation: Evaluation = Evaluation()

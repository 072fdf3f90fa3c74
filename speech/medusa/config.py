"""The settings of a MEDUSA ensemble and of its training. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta, field

from contracts._base import Positive, Record
from contracts.speech import FRAMES, FUNCTIONALS, IDS

Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
NonNegative = Annotated[float, Meta(ge=0.0)]
Rate = Annotated[float, Meta(gt=0.0)]
Count = Annotated[int, Meta(ge=0)]
StreamName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Seed = Annotated[int, Meta(ge=0, lt=2**31)]

ATTRIBUTES = ("arousal", "valence", "dominance")
"""The one order of the attributes, in rows, heads, files and answers."""
LOW, HIGH = 1.0, 7.0
"""The scale of every attribute."""


class Synthetic(Record, frozen=True, kw_only=True):
    """Sizes and difficulty of the made set (specification, section 9, level L0)."""

    train: Positive = 2_400
    dev: Positive = 400
    test: Positive = 1_200
    speakers: Annotated[int, Meta(ge=3)] = 24
    """In training; those of dev and test are others."""
    annotators: Positive = 5
    noise: NonNegative = 0.7
    """Standard deviation of every feature of every frame; that of the signal is 1 at its loudest."""
    neutral: Share = 0.15
    """Of the votes that go astray to the last class; as many again go to any other class."""
    mixtures: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    """Of the clips that hold two emotions: features and votes are mixed in the same proportion."""


class Data(Record, frozen=True, kw_only=True):
    """What is learnt from. Train, dev and test never share a speaker."""

    name: Literal["synthetic", "emodb", "ravdess", "nemo", "msp_podcast", "espeak"] = "synthetic"
    """``synthetic`` needs no file and ``espeak`` only its program; the others are read from ``--data``."""
    synthetic: Synthetic = Synthetic()
    dev_speakers: tuple[str, ...] = ()
    """Who is in the development split, where the corpus' own split is not wanted; goes with ``test_speakers``."""
    test_speakers: tuple[str, ...] = ()
    """Who is in the test split; everybody else is learnt from."""
    speeds: tuple[Annotated[float, Meta(ge=0.5, le=2.0)], ...] = ()
    """At which every training clip is learnt from once more (speed perturbation, Ko et al., Interspeech 2015)."""
    targets: Literal["soft", "one_hot"] = "soft"
    """``one_hot`` hardens the targets of training; figures are the same either way."""

    def __post_init__(self) -> None:
        if bool(self.dev_speakers) != bool(self.test_speakers):
            raise ValueError("dev_speakers and test_speakers go together; give both or none")
        if both := sorted(set(self.dev_speakers) & set(self.test_speakers)):
            raise ValueError(f"{', '.join(both)}: in dev_speakers and in test_speakers; name each speaker once")


class Augment(Record, frozen=True, kw_only=True):
    """What training does to a stream, in units of its standard deviation; nothing of it outside training."""

    time_masks: Count = 0
    """Stretches of frames set to the mean (SpecAugment, arXiv 1904.08779)."""
    time_share: Share = 0.1
    """Longest of them, as a share of the clip."""
    band_masks: Count = 0
    """Ranges of neighbouring features set to the mean."""
    band_share: Share = 0.15
    """Widest of them, as a share of the features."""
    noise: NonNegative = 0.0
    """Standard deviation of what is added to every feature of every frame."""
    gain: NonNegative = 0.0
    """Standard deviation of what is added to all features of a clip alike."""
    dropout: Share = 0.0
    """Share of the features that a clip loses, the same in all its frames."""


class Stem(Record, frozen=True, kw_only=True):
    """Convolutions over a stream's frames, trained with the member; each block halves the frames."""

    kind: Literal["time", "picture"] = "time"
    """``time`` takes the features of a frame as channels; ``picture`` convolves over neighbouring features too, and
    halves them as well."""
    channels: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (64, 64, 96)
    kernel: Literal[3, 5, 7] = 5
    dropout: Share = 0.1


class Stream(Record, frozen=True, kw_only=True):
    """One sequence of vectors of a clip, and where it comes from.

    ``frames``, ``functionals`` (one vector for the whole clip), ``statistics``, ``compact`` and ``text`` are
    in-project: part of the one exported graph. ``pretrained`` is read from the feature store; an ensemble with such a
    stream trains and evaluates, but is not served.
    """

    source: Literal["frames", "functionals", "statistics", "compact", "text", "pretrained"] = "frames"
    part: Literal["all", "mel", "descriptors"] = "all"
    """Of the front end, for ``frames``."""
    pool: Literal[1, 2, 4] = 1
    """Neighbouring frames that become their mean, for ``frames`` and ``pretrained``."""
    window: Count = 100
    """Frames of 10 ms behind each vector of ``statistics``; 0 is the whole clip."""
    hop: Positive = 25
    """From one such vector to the next."""
    encoder: str | None = None
    """``pretrained``: name or folder of a published encoder, which must be on this machine. ``compact``, ``text``:
    folder of a finished run of ``medusa_encoder``."""
    revision: str | None = None
    """Of a published encoder's name: a branch, a tag or a commit."""
    longest: Positive = 512
    """Frames of a ``pretrained`` stream, pooled, that are read of a clip; what follows is not (section 5)."""
    standardise: bool = True
    """To mean 0 and deviation 1 over the training frames of the member."""
    cut: Rate | None = None
    """Largest absolute value behind it; none: not cut."""
    augment: Augment = Augment()
    stem: Stem | None = None

    def __post_init__(self) -> None:
        if self.source in ("pretrained", "compact", "text") and self.encoder is None:
            raise ValueError(f"a {self.source} stream needs encoder: what it names is read, nothing is made up")
        if self.source == "statistics" and 0 < self.window < self.hop:
            raise ValueError(f"window {self.window} is shorter than hop {self.hop}")
        if self.source in ("frames", "functionals", "statistics") and self.encoder is not None:
            raise ValueError(f"encoder: {self.source} has nothing to read; leave it out")


class Member(Record, frozen=True, kw_only=True):
    """One DeepSER of the ensemble."""

    streams: Annotated[tuple[StreamName, ...], Meta(min_length=1)]
    seed: Seed = 0
    """Of its weights and its order, beside the seed of the whole; equal members need different ones."""


class Model(Record, frozen=True, kw_only=True):
    """The network of every member (specification, section 2.3)."""

    width: Annotated[int, Meta(ge=4, le=1024)] = 64
    """D."""
    heads: Positive = 1
    feed_forward: Positive = 256
    dropout: Share = 0.1
    attention_dropout: Share = 0.1
    """Of the attention weights. It costs as much as all else on long clips without a GPU; 0 leaves it out."""
    fusion: Literal["deep", "late"] = "deep"
    """``late`` joins the streams' means alone; for comparison."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")


class Stage(Record, frozen=True, kw_only=True):
    """One objective of a member. The epoch with the best macro-F1 on dev is kept.

    The published code stops early instead; fixed epochs let every learning rate be a function of the position alone.
    """

    epochs: Count = 20
    """0 skips it."""
    lr: Annotated[float, Meta(gt=0.0, le=1e-3)] = 5e-4
    """Peak learning rate. Above 1e-3, or without warm-up, post-norm layers are lost on some seeds (section 9)."""


class MixUp(Record, frozen=True, kw_only=True):
    """Manifold MixUp (section 2.4)."""

    p: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.3
    """Probability that a batch is mixed."""
    alpha: Rate = 0.2


class Weights(Record, frozen=True, kw_only=True):
    """Of the two parts of the loss (section 2.5)."""

    emotion: NonNegative = 1.5
    attributes: NonNegative = 0.4
    """0 leaves the attributes out of training and out of the model."""
    exponent: NonNegative = 0.5
    """Of the class weights of stage 1."""


class MetaStage(Record, frozen=True, kw_only=True):
    """Stages 3 and 4: what makes one answer of the members' answers."""

    kind: Literal["linear", "none"] = "linear"
    """``none``: the mean of the members' probabilities (soft vote), nothing is trained."""
    folds: Annotated[int, Meta(ge=2)] = 5
    """Groups of speakers, each judged by members that never heard it; fewer where there are fewer speakers."""
    on_train: bool = False
    """The published recipe: learn from the members' answers to their own training clips, without folds."""
    start: Literal["vote", "random"] = "vote"
    """Where the weights begin: at the soft vote, or small and random, as published. From a few hundred rows, a random
    start does not come near the vote at the published rate."""
    decay: NonNegative = 0.1
    """Weight, in the loss, of the squared distance to the soft vote, or to zero for a random start. 0.01 and less for
    thousands of rows."""
    epochs: Positive = 60
    lr: Rate = 1e-3
    batch: Positive = 128
    runs: Positive = 6
    """Runs from the same start, in different orders, whose weights are averaged."""


class Optim(Record, frozen=True, kw_only=True):
    """AdamW, built anew for each stage."""

    batch: Positive = 16
    """Clips in one step, over all processes."""
    warmup: Count = 50
    """Steps of each stage, from 0 to its peak learning rate."""
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: NonNegative = 0.01
    clip: Rate | None = 1.0
    """Largest norm of the gradient; none: not clipped."""
    checkpoint_every: Positive = 500
    """Steps between two checkpoints from which a killed run resumes, besides that of every epoch."""


class Config(Record, frozen=True, kw_only=True):
    """A whole training of an ensemble."""

    seed: Seed = 0
    """Of the made clips, the folds, and together with its own seed of every member."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    data: Data = Data()
    streams: Annotated[dict[StreamName, Stream], Meta(min_length=1)] = field(
        default_factory=lambda: {"mel": Stream(part="mel"), "descriptors": Stream(part="descriptors")}
    )
    members: Annotated[tuple[Member, ...], Meta(min_length=1)] = (Member(streams=("mel", "descriptors")),)
    model: Model = Model()
    stage1: Stage = Stage()
    stage2: Stage = Stage(epochs=10, lr=2e-4)
    mixup: MixUp = MixUp()
    weights: Weights = Weights()
    meta: MetaStage = MetaStage()
    optim: Optim = Optim()

    def __post_init__(self) -> None:
        if self.data.name == "synthetic" and any(s.source == "functionals" for s in self.streams.values()):
            raise ValueError("the made set is frames without a recording behind them; functionals need another set")
        if taken := {FRAMES, FUNCTIONALS, IDS} & self.streams.keys():
            raise ValueError(f"streams.{min(taken)}: is what the corpus itself gives; name the stream otherwise")
        if len({stream.encoder for stream in self.streams.values() if stream.source == "text"}) > 1:
            raise ValueError("streams of source text name different encoders, but there is one kind of tokens")
        for number, member in enumerate(self.members):
            for name in member.streams:
                if name not in self.streams:
                    raise ValueError(f"members[{number}]: no stream {name!r}; there are {', '.join(self.streams)}")
            if len(set(member.streams)) < len(member.streams):
                raise ValueError(f"members[{number}]: names a stream twice")
        if len(set(self.members)) < len(self.members):
            raise ValueError("two members have the same streams and the same seed; change a seed")
        if not self.stage1.epochs and not self.stage2.epochs:
            raise ValueError("both stages have 0 epochs; give one of them some")

    def used_streams(self) -> dict[str, Stream]:
        """Those that some member reads."""
        wanted = {name for member in self.members for name in member.streams}
        return {name: stream for name, stream in self.streams.items() if name in wanted}

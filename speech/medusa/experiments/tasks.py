"""The data sets of the study, at the sizes of its runs: what is learnt from, by which members, and what is compared."""

from typing import Literal, NamedTuple

from msgspec.structs import replace

from speech.medusa.config import (
    Augment,
    Config,
    Data,
    Member,
    MetaStage,
    Model,
    Optim,
    Stage,
    Stem,
    Stream,
    Synthetic,
)
from speech.medusa.experiments.arms import FULL, LATE, NO_ATTRIBUTES, NO_MIXUP, ONE_HOT, ONE_STAGE
from speech.medusa.experiments.learning import Updates

ALL = (FULL, LATE, ONE_HOT, NO_MIXUP, NO_ATTRIBUTES, ONE_STAGE)
VOTED = (FULL, LATE, ONE_HOT, NO_MIXUP, ONE_STAGE)
"""Where listeners judged no attributes."""
LABELLED = (FULL, LATE, NO_MIXUP, ONE_STAGE)
"""Where nobody voted either."""
AMBIGUOUS = (FULL, LATE, ONE_HOT)
MIXTURES = 0.5
"""Share of the made clips that hold two emotions, in the set that is made for it."""


Recorded = Literal["emodb", "ravdess", "nemo"]


class Task(NamedTuple):
    """One data set of the report."""

    name: str
    config: Config
    """Of the method; a seed adds itself, and its speakers where they are dealt out."""
    updates: Updates
    arms: tuple[str, ...]
    """Of the first member."""
    ensemble: bool = True
    dealt: bool = False
    """Each seed tests other speakers; else the seeds share the corpus' own split."""
    baseline: bool = False


def made(updates: Updates, clips: Synthetic, members: int, folds: int) -> tuple[Task, Task]:
    """Level L0 (section 9), and the same with clips of two emotions."""
    streams = {part: Stream(part=part, pool=4) for part in ("mel", "descriptors")}
    both = ("mel", "descriptors")
    chosen = (
        Member(streams=both),
        Member(streams=both, seed=1),
        Member(streams=("mel",)),
        Member(streams=both, seed=2),
    )
    plain, mixed = (
        Config(
            data=Data(synthetic=replace(clips, mixtures=mixtures)),
            streams=streams,
            members=chosen[:members],
            # Narrower networks need many more updates until they find sums modulo 8.
            model=Model(width=128, feed_forward=64, dropout=0.0, attention_dropout=0.0),
            stage1=Stage(lr=1e-3),
            stage2=Stage(lr=5e-4),
            meta=MetaStage(folds=folds),
            optim=Optim(batch=16, warmup=10, schedule="constant"),
        )
        for mixtures in (0.0, MIXTURES)
    )
    return (
        Task("synthetic", plain, updates, ALL),
        Task("synthetic, mixtures", mixed, updates, AMBIGUOUS, ensemble=False),
    )


def spoken(updates: Updates, members: int, folds: int) -> Task:
    """Level L1: what a speech program says."""
    return Task("espeak", heard("espeak", members, folds), updates, ALL, baseline=True)


def recorded(name: Recorded, updates: Updates, members: int, folds: int) -> Task:
    """Actors' recordings."""
    emodb = name == "emodb"
    return Task(name, heard(name, members, folds), updates, VOTED if emodb else LABELLED, dealt=emodb, baseline=True)


def heard(name: Literal["espeak", "emodb", "ravdess", "nemo"], members: int, folds: int) -> Config:
    """Small members of the starter's kind: statistics of windows, convolutions over mel bands, and the baseline's own
    description of the whole clip."""
    spread = Augment(noise=0.1, dropout=0.3)
    streams = {
        "whole": Stream(source="functionals", augment=spread),
        "statistics": Stream(source="statistics", window=120, hop=30, augment=spread),
        "mel": Stream(
            part="mel",
            pool=2,
            augment=Augment(time_masks=1, band_masks=1, noise=0.2, gain=0.2),
            stem=Stem(channels=(32, 32), kernel=5),
        ),
    }
    chosen = (
        Member(streams=("statistics", "mel")),
        Member(streams=("whole", "statistics")),
        Member(streams=("whole", "mel")),
        Member(streams=("whole", "statistics", "mel")),
    )
    return Config(
        data=Data(name=name),
        streams=streams,
        members=chosen[:members],
        model=Model(width=32, feed_forward=64, dropout=0.1, attention_dropout=0.0),
        stage1=Stage(lr=1e-3),
        stage2=Stage(lr=5e-4),
        meta=MetaStage(folds=folds),
        optim=Optim(batch=16, warmup=20),
    )

"""The study file of the task priors. Free of numpy: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record
from contracts.llm import Profile
from contracts.studies import StudyLimits

Condition = Literal[
    "icl",
    "prior:zero",
    "prior:random",
    "prior:distribution",
    "prior-prompt:examples",
    "prior-prompt:labels",
    "cot",
    "cot-shuffled",
    "repeat-control",
]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Split = Literal["train", "dev", "test"]


class Generated(Record, frozen=True, kw_only=True):
    """Sizes of the generated data set."""

    seed: Seed = 0
    train: Annotated[int, Meta(ge=1, le=5_000)] = 200
    dev: Annotated[int, Meta(ge=1, le=5_000)] = 60
    test: Annotated[int, Meta(ge=1, le=5_000)] = 100


class Data(Record, frozen=True, kw_only=True):
    """What is labelled, and by whom."""

    name: Literal["generated", "hs_brexit", "goemotions", "convabuse", "goemotions_demos", "mfrc_demos"] = "generated"
    generated: Generated = Generated()
    annotators: Annotated[tuple[str, ...], Meta(min_length=1)] = ("aggregate",)
    """Whose labels demonstrations carry in turn; only texts that all of them labelled are used."""
    demos: Split = "train"
    """Where demonstrations come from..."""
    queries: Annotated[tuple[Split, ...], Meta(min_length=1)] = ("dev",)
    """...where the texts to be labelled come from..."""
    third: Split = "test"
    """...and where the demonstrations of those priors come from that label the demonstrations of prior prompts."""
    items: Positive | None = None
    """Texts to be labelled, the first ones of their splits; none: all."""
    ids: str | None = None
    """A file with the ids of the texts to be labelled, one a line, in place of ``queries`` and ``items``."""
    strict: bool = False
    """Leave out texts to be labelled that stand word for word in the split of the demonstrations. (That split's copies
    are never shown, whether strict or not.)"""


class Grid(Record, frozen=True, kw_only=True):
    """What is asked about each text."""

    conditions: Annotated[tuple[Condition, ...], Meta(min_length=1)] = ("icl", "prior:distribution")
    shots: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (5, 15, 25)
    cot_shots: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (5, 15)
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] = (0, 1, 2)
    """Of the demonstrations, and of the labels drawn for them."""
    label_seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] = (0, 1, 2)
    """Of the labels of ``prior-prompt:labels``, all on the demonstrations of the first seed."""
    retrieval: Literal["random", "similar"] = "random"
    """``similar``: nearest texts of each query by TF-IDF; then a run has no seed."""
    max_tokens: Positive = 20
    cot_max_tokens: Positive = 80

    def __post_init__(self) -> None:
        for name in ("conditions", "shots", "cot_shots", "seeds", "label_seeds"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} names one value twice")
        if "repeat-control" in self.conditions and "icl" not in self.conditions:
            raise ValueError("conditions: repeat-control repeats an icl prompt; add icl")
        if self.retrieval == "similar" and any(one.startswith("prior-prompt") for one in self.conditions):
            raise ValueError("retrieval: prior prompts need one set of demonstrations per run; set it to random")


class Config(Record, frozen=True, kw_only=True):
    """A study of task priors."""

    profile: Profile | None = None
    limits: StudyLimits = StudyLimits()
    data: Data = Data()
    grid: Grid = Grid()
    reference: str | None = None
    """A JSON Lines file ``{"id": ..., "labels": [...]}`` with a supervised model's predictions, for the gap line."""
    rounds: Annotated[int, Meta(ge=100, le=100_000)] = 10_000
    """Of the bootstrap over items, and of each permutation test."""
    shuffles: Annotated[int, Meta(ge=10, le=10_000)] = 200
    """Behind each chance level."""

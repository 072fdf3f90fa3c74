"""A BloomWise study as a file: what is asked of whom, and what is compared with what."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from contracts._base import Positive, Record
from contracts.llm import Profile
from contracts.studies import StudyLimits
from llm_studies.bloomwise.attempt import Decoding
from llm_studies.bloomwise.ladder import Ladder

SetName = Literal[
    "generated",
    "gsm8k_test",
    "svamp",
    "algebra222",
    "aqua_test",
    "gsm_hard",
    "asdiv",
    "addsub",
    "multiarith",
    "singleeq",
]
MethodName = Literal[
    "direct",
    "cot",
    "cot_two",
    "few_shot",
    "pot",
    "plan",
    "self_refine",
    "metacognitive",
    "xot",
    "paraphrases",
    "self_consistency_3",
    "self_consistency_5",
    "self_consistency_matched",
]
Key = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


class Items(Record, frozen=True, kw_only=True):
    """Problems of one set."""

    name: SetName = "generated"
    """``generated`` needs no data; the others are read from ``--data``."""
    items: Positive | None = None
    """So many, drawn by their ids; none: all of them (generated: 100)."""
    options: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    """Generated problems only: share that asks for a letter."""
    seed: int = 0
    """Of the draw, and of generated problems."""


class Sampling(Record, frozen=True, kw_only=True):
    """Of self-consistency."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.7


class Bootstrap(Record, frozen=True, kw_only=True):
    """Of the paired intervals."""

    rounds: Annotated[int, Meta(ge=100, le=1_000_000)] = 10_000
    seed: int = 0


class Config(Record, frozen=True, kw_only=True):
    """A whole study."""

    data: Annotated[tuple[Items, ...], Meta(min_length=1)] = (Items(),)
    ladders: Annotated[dict[Key, Ladder], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: {"bloomwise": Ladder()}
    )
    """By name. Every level is asked, and the rule is replayed; the first is the one that others are compared with."""
    methods: tuple[MethodName, ...] = ("cot", "self_consistency_matched", "paraphrases")
    ladder_file: str | None = None
    """Another ladder file; a path as the command sees it. None: the packaged one."""
    demonstrations: Annotated[int, Meta(ge=1, le=16)] = 4
    """Of few-shot: the first of the train split, listed in the report."""
    repeat_control: Annotated[int, Meta(ge=0)] = 0
    """The first problems of each set, so many, whose first level of the first ladder is asked a second time at
    temperature 0: does the server give one answer?"""
    decoding: Decoding = Decoding()
    sampling: Sampling = Sampling()
    bootstrap: Bootstrap = Bootstrap()
    profile: Profile | None = None
    """The upstream model."""
    limits: StudyLimits = StudyLimits()

"""Texts with emotions: GoEmotions with all its labels, and a set made by rules that needs no file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from common.data.files import digest
from common.data.goemotions import LICENCE, Comment, read_goemotions
from contracts.models import DataSource, Use

SPLITS = ("train", "dev", "test")


class Known(NamedTuple):
    """What is known of a set before it is read."""

    licence: str
    use: Use
    """Whether weights trained on it may be used by anybody."""


SETS = MappingProxyType(
    {
        "generated": Known("Apache-2.0 (made by this package)", "open"),
        "goemotions": Known(LICENCE, "open"),
    }
)

WORDS = MappingProxyType(
    {
        "joy": ("delighted", "cheerful", "overjoyed", "glad"),
        "fear": ("terrified", "scared", "afraid", "frightened"),
        "anger": ("furious", "angry", "outraged", "livid"),
        "gratitude": ("thankful", "grateful", "thanks a lot", "much obliged"),
        "surprise": ("astonished", "amazed", "stunned", "startled"),
    }
)
"""What is said when an emotion is on; ``neutral`` where nothing is."""
OPENINGS = ("After lunch", "Last night", "On the bus", "At work", "By the river", "In the garden", "At noon", "Today")
EVENTS = (
    "the neighbour called", "the parcel came", "the lights went out", "a dog ran past", "the train was late",
    "my brother wrote", "we saw the results", "the rain stopped", "someone knocked", "the music began",
)  # fmt: skip


class Sizes(NamedTuple):
    """Texts of each split of the generated set."""

    train: int
    dev: int
    test: int


class Emotions(NamedTuple):
    labels: tuple[str, ...]
    texts: tuple[Comment, ...]
    source: DataSource

    def split(self, name: str) -> tuple[Comment, ...]:
        return tuple(text for text in self.texts if text.split == name)

    def truth(self, texts: Sequence[Comment]) -> np.ndarray:
        """bool (texts, labels)"""
        return np.array([[label in text.labels for label in self.labels] for text in texts], np.bool_)

    def unseen(self, texts: Sequence[Comment]) -> np.ndarray:
        """bool (texts,): those that do not stand in the training split as well, up to white space."""
        trained = {" ".join(text.text.split()) for text in self.split("train")}
        return np.array([" ".join(text.text.split()) not in trained for text in texts], np.bool_)


def goemotions(data: Path | None) -> Emotions:
    """Raises OperatorError as ``read_goemotions`` does."""
    read = read_goemotions(data)
    return _set("goemotions", read.labels, read.comments, digest(*read.files))


def generated(seed: int, sizes: Sizes) -> Emotions:
    """Texts of a few words, a quarter of them neutral and a quarter with two emotions; the same on every machine."""
    texts = tuple(
        _text(split, number, Random(f"{seed} {split} {number}"))
        for split, size in zip(SPLITS, sizes, strict=True)
        for number in range(size)
    )
    made = hashlib.sha256(repr(texts).encode()).hexdigest()
    return _set("generated", (*WORDS, "neutral"), texts, made)


def _set(name: str, labels: tuple[str, ...], texts: tuple[Comment, ...], sha256: str) -> Emotions:
    return Emotions(labels, texts, DataSource(name=name, licence=SETS[name].licence, sha256=sha256, items=len(texts)))


def _text(split: str, number: int, rng: Random) -> Comment:
    def pick(choices: Sequence[str]) -> str:
        # Not rng.choice: of Random's methods only random() gives the same numbers in every Python.
        return choices[int(rng.random() * len(choices))]

    labels = list(WORDS)
    on = [labels.pop(int(rng.random() * len(labels))) for _ in range((0, 1, 1, 2)[int(rng.random() * 4)])]
    feelings = [f"I was {pick(WORDS[label])}" for label in on]
    text = ", ".join((pick(OPENINGS), pick(EVENTS), *feelings)) + f" {int(rng.random() * 90) + 10}."
    return Comment(f"{split}-{number}", split, text, tuple(on) or ("neutral",))

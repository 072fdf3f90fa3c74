"""What is labelled: texts, and one label vector per annotator and for the aggregate."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from common.errors import Invalid, OperatorError

AGGREGATE = "aggregate"
"""The annotator that stands for all of them."""

Vector = tuple[bool, ...]
"""Which labels are on, in the order of the label set; all off is legal and is written ``none``."""

Nothing: Mapping[str, Any] = MappingProxyType({})


class Item(NamedTuple):
    """One text."""

    id: str
    split: str
    text: str
    labels: Mapping[str, Vector]
    """By annotator; ``aggregate`` among them."""
    rationales: Mapping[str, str] = Nothing
    """Why, by annotator; only where a data set says so."""
    severity: Mapping[str, int] = Nothing
    """By annotator, ConvAbuse only: 1 not abusive, 0 ambiguous, -1 ... -3 abusive."""


class Corpus(NamedTuple):
    """One data set with its label set."""

    name: str
    labels: tuple[str, ...]
    header: str
    """The word before the labels of a demonstration, e.g. ``Emotion(s)``."""
    task: str
    """What the labels are, as the instruction says it, e.g. ``emotions``."""
    items: tuple[Item, ...]
    groups: Mapping[str, str]
    """Annotator to group, every annotator; the aggregate is not one."""
    sha256: str
    """Of the files read, in order, or of what they were generated from."""

    @property
    def annotators(self) -> tuple[str, ...]:
        return tuple(self.groups)

    def split(self, *names: str) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.split in names)


def vector(names: Iterable[str], labels: Sequence[str], where: str) -> Vector:
    """Label names as cells. Raises OperatorError for a name outside the set."""
    on = set(names)
    if outside := on.difference(labels):
        raise OperatorError(
            f"{where}: label {sorted(outside)[0]!r} is not one of {', '.join(labels)}; correct the file"
        )
    return tuple(label in on for label in labels)


def matrix(items: Sequence[Item], annotator: str) -> np.ndarray:
    """bool (items, labels): the labels by one annotator."""
    return np.array([item.labels[annotator] for item in items], dtype=np.bool_)


def at_least_half(votes: np.ndarray) -> np.ndarray:
    """The aggregate of bool (annotators, ...): on where at least half of them are, ties on (arXiv 2410.13776, the
    official code). Raises Invalid without an annotator."""
    if not len(votes):
        raise Invalid("an aggregate needs at least one annotator")
    return 2 * votes.sum(0) >= len(votes)


def with_aggregate(item: Item) -> Item:
    votes = np.array(list(item.labels.values()), dtype=np.bool_)
    return item._replace(labels={**item.labels, AGGREGATE: tuple(at_least_half(votes).tolist())})


def one_line(text: str) -> str:
    """White space of every kind becomes one blank, so that a text cannot begin a line of the prompt."""
    return " ".join(text.split())


def text_digest(text: str) -> str:
    """Equal for texts that a prompt would show alike."""
    return hashlib.sha256(one_line(text).encode()).hexdigest()


def shared_by(corpus: Corpus, annotators: Sequence[str]) -> Corpus:
    """Only items that all of them labelled, so that prompts differ in labels alone (arXiv 2410.13776, section 4).

    Raises OperatorError for an annotator that the data set does not have, or when no item is left.
    """
    if strangers := [name for name in annotators if name != AGGREGATE and name not in corpus.groups]:
        known = ", ".join((*corpus.annotators, AGGREGATE))
        raise OperatorError(f"annotators: {corpus.name} has no {strangers[0]!r}, only {known}; correct the study file")
    kept = tuple(item for item in corpus.items if all(name in item.labels for name in annotators))
    if not kept:
        raise OperatorError(
            f"annotators: no text of {corpus.name} was labelled by all of {', '.join(annotators)}; name fewer"
        )
    return corpus._replace(items=kept)

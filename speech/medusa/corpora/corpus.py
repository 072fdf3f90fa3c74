"""A corpus of judged speech, whatever its own format: what every reader returns."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, get_args

import numpy as np

from common.errors import OperatorError
from contracts.models import DataSource, Use
from speech.medusa.config import ATTRIBUTES

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
NOT_JUDGED = np.full(len(ATTRIBUTES), np.nan, np.float32)
NOBODY = ""
"""The speaker of a clip whose speaker the corpus does not name."""


class Utterance(NamedTuple):
    """One recording and what listeners, or its actor, meant it to be."""

    id: str
    speaker: str
    """Unique within the corpus; NOBODY where it is not known."""
    split: Split
    text: str | None
    """The transcript; None where there is none."""
    target: np.ndarray
    """float32 (classes,), sums to 1"""
    attributes: np.ndarray
    """float32 (3,), in the order of ATTRIBUTES, 1 to 7; NaN where not judged"""
    consensus: bool
    """Whether one class has more votes than any other; a corpus without votes counts every clip as such."""
    audio: Callable[[], bytes]
    """Reads the sound file. Raises OperatorError when it is gone."""


class Corpus(NamedTuple):
    """Every readable utterance; those that are not stand in ``bad``."""

    name: str
    classes: tuple[str, ...]
    """In the order of every target."""
    judged: bool
    """Whether arousal, valence and dominance were judged."""
    soft: bool
    """Whether the targets come from listeners; if not, they are one-hot."""
    utterances: tuple[Utterance, ...]
    bad: tuple[str, ...]
    """One line for each skipped row: which file, which line, why."""
    source: DataSource
    use: Use

    def split(self, name: Split) -> tuple[Utterance, ...]:
        """In the order of the corpus."""
        return tuple(u for u in self.utterances if u.split == name)


def one_hot(label: str, classes: tuple[str, ...]) -> np.ndarray:
    """float32 (classes,). Raises ValueError for a label that is no class."""
    if label not in classes:
        raise ValueError(f"unknown class {label!r}; the classes are {', '.join(classes)}")
    target = np.zeros(len(classes), np.float32)
    target[classes.index(label)] = 1.0
    return target


def checked(corpus: Corpus) -> Corpus:
    """The corpus itself. Raises OperatorError without a readable row, and where a speaker is heard in two splits."""
    if not corpus.utterances:
        told = "; ".join(corpus.bad[:3])
        raise OperatorError(f"{corpus.name}: no usable row, {len(corpus.bad)} skipped ({told}); correct the files")
    if shared := shared_speakers(corpus.utterances):
        told = "; ".join(f"{speaker} in {', '.join(splits)}" for speaker, splits in sorted(shared.items())[:3])
        raise OperatorError(
            f"{corpus.name}: {len(shared)} speakers are heard in more than one split ({told}); "
            "give each speaker to one split, or figures on the test split mean nothing"
        )
    return corpus


def shared_speakers(utterances: Iterable[Utterance]) -> dict[str, tuple[Split, ...]]:
    """The named speakers of more than one split, with these splits."""
    heard: defaultdict[str, set[Split]] = defaultdict(set)
    for utterance in utterances:
        if utterance.speaker != NOBODY:
            heard[utterance.speaker].add(utterance.split)
    return {name: tuple(s for s in SPLITS if s in found) for name, found in heard.items() if len(found) > 1}

"""What every reader gives: clips, images or features, and which tags each carries."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from common.errors import OperatorError
from contracts.models import Use

Kind = Literal["waveform", "image", "features"]
SPLITS = ("train", "dev", "test")
BASE_SHARE = 0.6
"""Of the tags, the most frequent in training are base tags: 26 of 44, as in the specification (section 5.1)."""
_POINTER = b"version https://git-lfs.github.com/"


class Split(NamedTuple):
    ids: tuple[str, ...]
    truth: np.ndarray
    """bool (n, tags)"""
    inputs: np.ndarray
    """int16 (n, samples), uint8 (n, height, width) or float32 (n, features), as ``Corpus.kind`` says"""


class Corpus(NamedTuple):
    """Tags stand in the order of their frequency in training, the most frequent first; equal ones by name."""

    name: str
    licence: str
    use: Use
    sha256: str
    """Over the digests of the files that were read."""
    kind: Kind
    tags: tuple[str, ...]
    base: int
    """So many of the first tags may be trained on; the others are novel."""
    sample_rate: int
    """Hz; 0 where there is no sound"""
    splits: Mapping[str, Split]
    """All of ``SPLITS``; a set without a development part has an empty one."""


class Source(NamedTuple):
    """A data set as its files tell it, before its tags are put in order."""

    name: str
    licence: str
    use: Use
    kind: Kind
    tags: tuple[str, ...]
    sample_rate: int
    digests: tuple[str, ...]
    splits: Mapping[str, Split]


def arrange(source: Source, base: int | None = None) -> Corpus:
    """Tags by frequency in training. ``base``: their number, 60 % of the tags where it is none.

    Raises OperatorError where training holds no item, or an item is in two splits.
    """
    seen = [item for split in SPLITS for item in source.splits[split].ids]
    if not source.splits["train"].ids or len(set(seen)) != len(seen):
        raise OperatorError(f"{source.name}: an item occurs twice, or none is for training; bring the data set again")
    frequency = source.splits["train"].truth.sum(0)
    order = sorted(range(len(source.tags)), key=lambda tag: (-int(frequency[tag]), source.tags[tag]))
    return Corpus(
        name=source.name,
        licence=source.licence,
        use=source.use,
        sha256=hashlib.sha256("".join(source.digests).encode()).hexdigest(),
        kind=source.kind,
        tags=tuple(source.tags[tag] for tag in order),
        base=round(BASE_SHARE * len(order)) if base is None else base,
        sample_rate=source.sample_rate,
        splits={name: split._replace(truth=split.truth[:, order]) for name, split in source.splits.items()},
    )


def truth_table(tagged: Iterable[Iterable[str]], tags: tuple[str, ...]) -> np.ndarray:
    """bool (n, tags): one row of names each, none of them unknown."""
    column = {tag: i for i, tag in enumerate(tags)}
    rows = [[column[name] for name in names] for names in tagged]
    truth = np.zeros((len(rows), len(tags)), bool)
    for row, columns in enumerate(rows):
        truth[row, columns] = True
    return truth


def read(path: Path) -> tuple[bytes, str]:
    """A whole file and its digest. Raises OperatorError when it is missing, or a pointer to the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = f"let --data name the folder that holds {path.parent.name}/{path.name}"
        raise OperatorError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if content.startswith(_POINTER):
        raise OperatorError(f"{path}: a Git LFS pointer, not the data; fetch the file itself (`git lfs pull`)")
    return content, hashlib.sha256(content).hexdigest()


def broken(path: Path, what: object) -> OperatorError:
    """To be raised for a file that does not hold what it should."""
    return OperatorError(f"{path} cannot be used ({what}); bring the data set again")

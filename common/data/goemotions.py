"""GoEmotions (arXiv 2005.00547) with its aggregated labels: Reddit comments, each with one or several of 28 emotions.

Content: written by users, in part offensive. Do not publish single comments.
"""

from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from common.data.files import File
from common.errors import OperatorError

LICENCE = "Apache-2.0 (github.com/monologg/GoEmotions-pytorch; GoEmotions, arXiv 2005.00547)"
ROWS = MappingProxyType({"train": 43_410, "dev": 5_426, "test": 5_427})
"""Comments; checked, so that a cut or mixed-up file is found before anything is learnt or paid."""


class Comment(NamedTuple):
    id: str
    split: str
    text: str
    labels: tuple[str, ...]
    """At least one, in the file's order; ``neutral`` is a label like the others."""


class GoEmotions(NamedTuple):
    labels: tuple[str, ...]
    """In the order of their numbers."""
    comments: tuple[Comment, ...]
    files: tuple[File, ...]
    """The label names, then train, dev and test."""


def read_goemotions(data: Path | None) -> GoEmotions:
    """Read ``data/emotion_text/goemotions_{labels.txt,train.tsv,dev.tsv,test.tsv}``.

    Three columns without header or quotes: a text may begin with a quotation mark. Raises OperatorError that names file
    and line.
    """
    names = File(data, "emotion_text/goemotions_labels.txt")
    files = {split: File(data, f"emotion_text/goemotions_{split}.tsv") for split in ROWS}
    labels = tuple(names.lines())
    comments = tuple(
        _comment(line, split, labels, f"{file.path}, line {number}")
        for split, file in files.items()
        for number, line in enumerate(file.lines(), 1)
    )
    _check(comments, files["train"].path)
    return GoEmotions(labels, comments, (names, *files.values()))


def _comment(line: str, split: str, labels: tuple[str, ...], where: str) -> Comment:
    parts = line.split("\t")
    if len(parts) != 3:
        raise OperatorError(f"{where}: {len(parts)} columns, not text, label numbers and comment id; correct the row")
    text, numbers, name = parts
    known = {str(number): label for number, label in enumerate(labels)}
    on = numbers.split(",")
    if not known.keys() >= set(on):
        raise OperatorError(f"{where}: label {numbers!r} is outside 0-{len(labels) - 1}; correct the row")
    return Comment(name, split, text, tuple(known[number] for number in on))


def _check(comments: tuple[Comment, ...], path: Path) -> None:
    twice = next((name for name, n in Counter(c.id for c in comments).items() if n > 1), None)
    if twice:
        raise OperatorError(f"{path}: id {twice} stands there twice; drop one row")
    found = Counter(c.split for c in comments)
    if found != ROWS:
        have, want = ("/".join(str(sizes.get(split, 0)) for split in ROWS) for sizes in (found, ROWS))
        raise OperatorError(f"{path}: {have} texts in {'/'.join(ROWS)}, not {want}; fetch the file again")

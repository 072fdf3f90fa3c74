"""Sets that lie as one tar of sound files and one table for each split."""

import hashlib
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.data.files import File
from common.errors import OperatorError
from common.registry.cards import sha256
from contracts.models import DataSource, Use
from speech.medusa.corpora.corpus import NOT_JUDGED, SPLITS, Corpus, Split, Utterance, checked

REMEDY = "fetch the set again, whole"
COLUMNS = ("id", "file", "speaker", "emotion", "text")
"""Of every table; a set may have more."""
Target = Callable[[Mapping[str, str]], np.ndarray]
"""From the columns of a row to float32 (classes,). Raises ValueError that says what is wrong with them."""


class Member(NamedTuple):
    """A file inside a tar, read when it is called."""

    tar: Path
    offset: int
    size: int

    def __call__(self) -> bytes:
        """Raises OperatorError when the tar is gone or shorter than it was."""
        try:
            with self.tar.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise OperatorError(f"{self.tar} cannot be read ({error.strerror}); {REMEDY}") from None
        if len(data) < self.size:
            raise OperatorError(f"{self.tar} ends within a sound file; {REMEDY}")
        return data


class Layout(NamedTuple):
    """What a set says of itself beside its rows."""

    name: str
    """Also that of its folder."""
    licence: str
    use: Use
    classes: tuple[str, ...]
    soft: bool
    columns: tuple[str, ...] = ()
    """Needed beside COLUMNS."""


def tarred(folder: Path, layout: Layout, target: Target) -> Corpus:
    """Read ``folder / layout.name``. A row whose columns or sound file are wrong is skipped and told.

    Raises OperatorError for a missing file, a column that is not there, no usable row, a speaker in two splits.
    """
    found: list[Utterance] = []
    bad: list[str] = []
    digests: list[str] = []
    for split in SPLITS:
        table = File(folder, f"{layout.name}/{split}.tsv")
        tar = folder / layout.name / f"{split}.tar"
        digests += [table.sha256, sha256(tar, f"give --data the folder that holds {layout.name}/{split}.tar")]
        inside = members(tar)
        for number, columns in rows(table, (*COLUMNS, *layout.columns)):
            try:
                found.append(_utterance(columns, split, inside, target))
            except ValueError as error:
                bad.append(f"{table.path}, line {number}: {error}")
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()
    source = DataSource(name=layout.name, licence=layout.licence, sha256=whole, items=max(1, len(found)))
    return checked(
        Corpus(layout.name, layout.classes, False, layout.soft, tuple(found), tuple(bad), source, layout.use)
    )


def rows(table: File, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Line number and columns of every row: tab-separated, named by the first line.

    Raises OperatorError for a table without one of the columns, or with a row of another width.
    """
    head, *lines = (line.rstrip("\r").split("\t") for line in table.lines())
    if missing := [name for name in needed if name not in head]:
        raise OperatorError(f"{table.path}: no column {', '.join(missing)}; {REMEDY}")
    found = []
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(head):
            raise OperatorError(f"{table.path}, line {number}: {len(cells)} columns, not {len(head)}; {REMEDY}")
        found.append((number, dict(zip(head, cells, strict=True))))
    return found


def _utterance(columns: Mapping[str, str], split: Split, members: Mapping[str, Member], target: Target) -> Utterance:
    audio = members.get(columns["file"])
    if audio is None:
        raise ValueError(f"no sound file {columns['file']!r} in the tar")
    return Utterance(
        id=columns["id"],
        speaker=columns["speaker"],
        split=split,
        text=columns["text"],
        target=target(columns),
        attributes=NOT_JUDGED,
        consensus=True,
        audio=audio,
    )


def members(tar: Path) -> dict[str, Member]:
    """Every file in a tar, by name. Raises OperatorError when it is none."""
    try:
        with tarfile.open(tar, "r:") as file:
            return {m.name: Member(tar, m.offset_data, m.size) for m in file if m.isfile()}
    except (OSError, tarfile.TarError) as error:
        raise OperatorError(f"{tar} is no whole tar ({error}); {REMEDY}") from None

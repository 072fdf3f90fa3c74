"""MSP-Podcast in the layout of the Interspeech 2025 challenge, for those who hold its licence.

    msp_podcast/labels.csv          a row for each clip, its columns named by the first line
    msp_podcast/Audios/             the recordings, under the names of the column FileName
    msp_podcast/Transcripts/        optional: <name>.txt, of a speech recogniser, for train and test alike

Columns are found by their names, never by their places: EmoVal and EmoDom stand in either order in files that are
about (specification, section 1).
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from common.data.files import File
from common.errors import OperatorError
from contracts.models import DataSource
from speech.medusa.config import HIGH, LOW
from speech.medusa.corpora.corpus import NOBODY, Corpus, Split, Utterance, checked, one_hot
from speech.medusa.corpora.votes import voted

CODES = MappingProxyType(
    {
        "A": "Angry",
        "S": "Sad",
        "H": "Happy",
        "U": "Surprise",
        "F": "Fear",
        "D": "Disgust",
        "C": "Contempt",
        "N": "Neutral",
    }
)
"""By the letter of the column EmoClass."""
CLASSES = tuple(CODES.values())
OPEN_CODES = ("O", "X")
"""EmoClass of clips whose listeners agreed on something else, or not at all."""
FILE, SPLIT, CLASS, SPEAKER, OTHER = "FileName", "Split_Set", "EmoClass", "SpkrID", "Other"
SCALES = ("EmoAct", "EmoVal", "EmoDom")
"""In the order of ATTRIBUTES."""
NEEDED = (FILE, *CLASSES, *SCALES, SPLIT)
SPLIT_NAMES: MappingProxyType[str, Split] = MappingProxyType({"Train": "train", "Development": "dev", "Test": "test"})
_KNOWN = frozenset((*NEEDED, CLASS, SPEAKER, OTHER, "Gender"))
UNNAMED = ("", "Unknown")
"""Speakers that are none."""
TOLERANCE = 0.01
"""By which the shares of a row may miss a sum of 1: files round them."""
LICENCE = "MSP-Podcast academic licence"
FOLDER, LABELS, AUDIO, TRANSCRIPTS = "msp_podcast", "labels.csv", "Audios", "Transcripts"
GET = "it is given by its authors under a signed academic licence"


class _Files(NamedTuple):
    audio: dict[str, Path]
    transcripts: dict[str, Path]


def msp_podcast(folder: Path, soft: bool = True) -> Corpus:
    """Soft targets of every clip; without ``soft`` the class with most votes, where there is one.

    A row that is not as it should be is skipped and told. Raises OperatorError without the files or a column, without
    a usable row, and where a speaker (column SpkrID, where there is one) is heard in two splits.
    """
    if not (folder / FOLDER / LABELS).is_file():
        raise OperatorError(f"{folder / FOLDER / LABELS} is missing; put MSP-Podcast's files there: {GET}")
    table = File(folder, f"{FOLDER}/{LABELS}")
    files = _Files(_listed(folder / FOLDER / AUDIO), _listed(folder / FOLDER / TRANSCRIPTS))
    if not files.audio:
        raise OperatorError(f"{folder / FOLDER / AUDIO} holds no recording; put those of MSP-Podcast there: {GET}")
    found: list[Utterance] = []
    bad: list[str] = []
    seen: set[str] = set()
    for number, columns in _rows(table):
        try:
            utterance = _utterance(columns, files, soft)
            if utterance.id in seen:
                raise ValueError(f"{utterance.id} has a row already")
        except ValueError as error:
            bad.append(f"{table.path}, line {number}: {error}")
            continue
        seen.add(utterance.id)
        found.append(utterance)
    source = DataSource(name=FOLDER, licence=LICENCE, sha256=_digest(table, files), items=max(1, len(found)))
    return checked(Corpus(FOLDER, CLASSES, True, soft, tuple(found), tuple(bad), source, "research"))


def _rows(table: File) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line number and columns; a cell that a short row lacks is None, and what a long one has too much is under ''."""
    reader = csv.DictReader(io.StringIO(table.text, newline=""), restkey="", strict=True)
    head = [name.strip() for name in reader.fieldnames or ()]
    if missing := [name for name in NEEDED if name not in head]:
        raise OperatorError(f"{table.path}: no column {', '.join(missing)}; give the challenge's label file")
    if twice := sorted({name for name in head if head.count(name) > 1}):
        raise OperatorError(f"{table.path}: column {', '.join(twice)} stands there twice; keep one")
    reader.fieldnames = head
    try:
        for columns in reader:
            yield reader.line_num, columns
    except csv.Error as error:
        raise OperatorError(f"{table.path}, line {reader.line_num}: {error}; give the challenge's label file") from None


def _utterance(columns: Mapping[str, str | None], files: _Files, soft: bool) -> Utterance:
    """Raises ValueError that says what is wrong with the row."""
    if "" in columns or None in columns.values():
        raise ValueError("more or fewer cells than columns")
    cells = {name: (cell or "").strip() for name, cell in columns.items()}
    if cells[SPLIT] not in SPLIT_NAMES:
        raise ValueError(f"{SPLIT} is {cells[SPLIT]!r}, none of {', '.join(SPLIT_NAMES)}")
    target, consensus = _target(cells)
    if not soft:
        if not consensus:
            raise ValueError("no class has most votes, so there is no single one to learn")
        target = one_hot(CLASSES[int(np.argmax(target))], CLASSES)
    name = cells[FILE]
    if name not in files.audio:
        raise ValueError(f"no recording {name!r} in {AUDIO}")
    transcript = files.transcripts.get(f"{Path(name).stem}.txt")
    speaker = cells.get(SPEAKER, NOBODY)
    return Utterance(
        id=name,
        speaker=NOBODY if speaker in UNNAMED else speaker,
        split=SPLIT_NAMES[cells[SPLIT]],
        text=None if transcript is None else _read(transcript).decode("utf-8", "replace").strip(),
        target=target,
        attributes=np.array([_scale(cells, name) for name in SCALES], np.float32),
        consensus=consensus,
        audio=partial(_read, files.audio[name]),
    )


def _target(cells: Mapping[str, str]) -> tuple[np.ndarray, bool]:
    """float32 (8,), and whether one class has most votes."""
    votes = np.array([_number(cells, name) for name in CLASSES])
    other = _number(cells, OTHER) if OTHER in cells else 0.0
    if strange := [name for name in cells if name not in _KNOWN and _votes(cells[name])]:
        raise ValueError(f"votes for {', '.join(strange)}, none of the classes {', '.join(CLASSES)}")
    target, plural = voted(votes, other)
    total = float(votes.sum()) + other
    if abs(total - 1) > TOLERANCE:
        raise ValueError(f"the votes sum to {total:g}, not to 1")
    code = cells.get(CLASS)
    if code is None:
        return target, plural
    if code not in CODES and code not in OPEN_CODES:
        raise ValueError(f"{CLASS} is {code!r}, none of {', '.join((*CODES, *OPEN_CODES))}")
    return target, code in CODES


def _number(cells: Mapping[str, str], name: str) -> float:
    try:
        return float(cells[name])
    except ValueError:
        raise ValueError(f"{name} is {cells[name]!r}, no number") from None


def _scale(cells: Mapping[str, str], name: str) -> float:
    value = _number(cells, name)
    if not LOW <= value <= HIGH:
        raise ValueError(f"{name} is {value:g}, not from {LOW:g} to {HIGH:g}")
    return value


def _votes(cell: str) -> bool:
    """Whether a column that is not known holds a number other than 0: votes for a class that is not known."""
    try:
        return float(cell) != 0
    except ValueError:
        return False


def _listed(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}


def _digest(table: File, files: _Files) -> str:
    """Over the table, the transcripts, and the names and sizes of the recordings: to read these takes hours."""
    sizes = (f"{name} {path.stat().st_size}" for name, path in sorted(files.audio.items()))
    texts = (f"{name} {hashlib.sha256(_read(path)).hexdigest()}" for name, path in sorted(files.transcripts.items()))
    return hashlib.sha256("\n".join((table.sha256, *sizes, *texts)).encode()).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"{path} cannot be read ({error.strerror}); put the file back") from None

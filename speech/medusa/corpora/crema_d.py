"""CREMA-D as its table of votes: what real disagreement looks like. The recordings are not part of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn, cast

import numpy as np

from common.data.files import File
from common.errors import OperatorError
from contracts.models import DataSource
from speech.medusa.corpora.corpus import NOT_JUDGED, SPLITS, Corpus, Split, Utterance, checked, one_hot
from speech.medusa.corpora.tarred import rows
from speech.medusa.corpora.votes import voted

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
LETTERS = ("A", "D", "F", "H", "N", "S")
"""The columns of votes, in the order of CLASSES."""
LICENCE = "ODbL-1.0, contents DbCL-1.0"
Modality = Literal["voice", "face", "multimodal"]
"""What the listeners were given."""
COLUMNS = ("clip", "modality", "actor", "n_responses", "split", *LETTERS)


def crema_d_votes(folder: Path, soft: bool = True, modality: Modality = "voice") -> Corpus:
    """Targets and consensus from the votes; without ``soft`` the class with most votes is the target, and a clip
    without one is skipped.

    Raises OperatorError for a missing file or column, no usable row, an actor in two splits.
    """
    table = File(folder, "crema_d_votes/votes.tsv")
    found: list[Utterance] = []
    bad: list[str] = []
    for number, columns in rows(table, COLUMNS):
        if columns["modality"] == modality:
            try:
                found.append(_utterance(columns, soft))
            except ValueError as error:
                bad.append(f"{table.path}, line {number}: {error}")
    source = DataSource(name="crema_d_votes", licence=LICENCE, sha256=table.sha256, items=max(1, len(found)))
    return checked(Corpus("crema_d_votes", CLASSES, False, soft, tuple(found), tuple(bad), source, "open"))


def _utterance(columns: Mapping[str, str], soft: bool) -> Utterance:
    if (split := columns["split"]) not in SPLITS:
        raise ValueError(f"unknown split {split!r}")
    counts = _counts(columns)
    target, consensus = voted(counts)
    if not soft:
        if not consensus:
            raise ValueError("no class has most votes, so there is no single one to learn")
        target = one_hot(CLASSES[int(np.argmax(target))], CLASSES)
    return Utterance(
        id=columns["clip"],
        speaker=columns["actor"],
        split=cast(Split, split),
        text=None,
        target=target,
        attributes=NOT_JUDGED,
        consensus=consensus,
        audio=_absent,
    )


def _counts(columns: Mapping[str, str]) -> np.ndarray:
    """Raises ValueError unless they are whole numbers that sum to the number of responses."""
    try:
        counts, stated = np.array([int(columns[letter]) for letter in LETTERS]), int(columns["n_responses"])
    except ValueError:
        raise ValueError("votes must be whole numbers") from None
    if counts.sum() != stated:
        raise ValueError(f"{counts.sum()} votes of {stated} responses")
    return counts


def _absent() -> NoReturn:
    raise OperatorError("crema_d_votes has no recordings; it serves checks of votes alone")

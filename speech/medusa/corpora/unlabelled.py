"""Openly licensed speech without emotions, for pre-training."""

import hashlib
from pathlib import Path
from types import MappingProxyType

import numpy as np

from common.data.files import File
from common.errors import OperatorError
from common.registry.cards import sha256
from contracts.models import DataSource
from speech.medusa.corpora.corpus import NOT_JUDGED, Corpus, Utterance
from speech.medusa.corpora.tarred import Member, members, rows

PARTS = MappingProxyType(
    {
        "librispeech_mini": ("CC-BY-4.0", ("train_clean", "unlabelled_clean")),
        "speech_commands": ("CC-BY-4.0", ("train",)),
        "fsdd": ("CC-BY-SA-4.0", ("train",)),
    }
)
"""Licence and splits of each set: never one that is kept for a test."""
NAMES = tuple(PARTS)


def unlabelled(name: str, data: Path | None) -> Corpus:
    """All clips of one of NAMES, of the split ``train``, without classes: targets are float32 (0,).

    Raises OperatorError for another name and for missing files.
    """
    if name not in PARTS:
        raise OperatorError(f"no unlabelled speech {name}; there is {', '.join(NAMES)}")
    if data is None:
        raise OperatorError(f"{name} is not bundled: give the folder that holds {name}/ with --data or KITHARA_DATA")
    licence, splits = PARTS[name]
    found: list[Utterance] = []
    digests: list[str] = []
    for split in splits:
        table, tar = File(data, f"{name}/{split}.tsv"), data / name / f"{split}.tar"
        digests += [table.sha256, sha256(tar, f"give --data the folder that holds {name}/{split}.tar")]
        inside = members(tar)
        for number, columns in rows(table, ("id", "file", "speaker", "text")):
            if columns["file"] not in inside:
                raise OperatorError(f"{table.path}, line {number}: no sound file {columns['file']!r} in the tar")
            found.append(_utterance(columns, inside[columns["file"]]))
    whole = hashlib.sha256("".join(digests).encode()).hexdigest()
    source = DataSource(name=name, licence=licence, sha256=whole, items=max(1, len(found)))
    return Corpus(name, (), False, False, tuple(found), (), source, "open")


def _utterance(columns: dict[str, str], audio: Member) -> Utterance:
    nothing = np.zeros(0, np.float32)
    return Utterance(
        columns["id"], columns["speaker"], "train", columns["text"] or None, nothing, NOT_JUDGED, True, audio
    )

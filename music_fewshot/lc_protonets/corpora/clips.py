"""One split as two files: a table of clips, and a tar of their sound in the same order."""

import csv
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from music_fewshot.lc_protonets.corpora.corpus import broken, read

SAMPLE_RATE = 16_000


class Clips(NamedTuple):
    rows: tuple[dict[str, str], ...]
    """Of the table, by column."""
    samples: np.ndarray
    """int16 (n, samples) at ``SAMPLE_RATE``"""
    digests: tuple[str, str]
    """Of the table and of the sound."""


def read_clips(folder: Path, split: str, columns: Sequence[str], suffix: str) -> Clips:
    """``folder/<split>.tsv`` (with ``columns``, among them ``id`` and ``n_samples``) and ``folder/<split>.tar``, whose
    members are ``<id><suffix>``.

    A clip shorter than the longest of the split is repeated to its length. Raises OperatorError for a file that is
    missing or is not as told here.
    """
    table, sound = folder / f"{split}.tsv", folder / f"{split}.tar"
    text, table_digest = read(table)
    try:
        reader = csv.DictReader(io.StringIO(text.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = tuple(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise broken(table, error) from error
    missing = set(columns).union(("id", "n_samples")).difference(reader.fieldnames or ())
    if not rows or missing or any(None in row or None in row.values() for row in rows):
        raise broken(table, f"no column {', '.join(sorted(missing))}" if missing else "no rows, or uneven ones")
    content, sound_digest = read(sound)
    try:
        members = _members(content)
        clips = [_decode(members[row["id"] + suffix], int(row["n_samples"])) for row in rows]
    except (KeyError, ValueError, tarfile.TarError, soundfile.LibsndfileError) as error:
        raise broken(sound, error) from error
    length = max(map(len, clips))
    samples = np.stack([np.resize(clip, length) for clip in clips])  # numpy's resize repeats what is too short
    return Clips(rows, samples, (table_digest, sound_digest))


def _members(content: bytes) -> dict[str, memoryview]:
    """The files of a plain tar, without copies."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        whole = memoryview(content)
        return {m.name: whole[m.offset_data : m.offset_data + m.size] for m in archive if m.isfile()}


def _decode(sound: memoryview, samples: int) -> np.ndarray:
    """int16 (samples,). Raises ValueError for another rate, length or number of channels."""
    decoded, rate = soundfile.read(io.BytesIO(sound), dtype="int16")
    if (rate, decoded.shape) != (SAMPLE_RATE, (samples,)) or samples < 1:
        raise ValueError(f"{decoded.shape} samples at {rate} Hz, {samples} at {SAMPLE_RATE} Hz were told")
    return decoded

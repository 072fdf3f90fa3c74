"""Features of frozen encoders, computed once: a cache addressed by what was heard and by what listened."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import structlog

from common.errors import OperatorError, Rejected
from common.registry.cards import write_whole
from speech.features import to_speech
from speech.medusa.corpora.corpus import Corpus, Utterance
from speech.medusa.encoders.base import Encoder

FORMAT = "features-1"
"""Of the files, and of the way from a sound file to the samples that encoders hear: part of every address."""
DIGEST = hashlib.sha256().digest_size
NAME = "encoder.txt"
_log: Any = structlog.get_logger("kithara.features")


class Stored(Sequence[np.ndarray]):
    """Features that lie on the disk: float32 (frames, dim) each, read when they are asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "Stored": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | Stored":
        """Raises OperatorError when a file has gone or changed since it was looked up."""
        if isinstance(index, slice):
            return Stored(self.paths[index])
        found = _read(self.paths[index])
        if found is None:
            raise OperatorError(f"{self.paths[index]} has gone or broken in the meantime; run the command again")
        return found


class Streams(NamedTuple):
    """A corpus and its features, row by row; utterances without features have left the corpus."""

    corpus: Corpus
    features: dict[str, Stored]
    """By stream, in the order of the corpus."""


class FeatureStore:
    """A folder of features. ``hits`` and ``misses`` count what was found and what an encoder had to compute.

    A file is written in one step when its batch is done: whoever is killed goes on where it stood. Several processes
    may share the folder.
    """

    def __init__(self, folder: Path, *, half: bool = True, batch: int = 16) -> None:
        """``half``: keep float16, which holds every layer sum of the published encoders to three digits."""
        self.folder, self.half, self.batch = folder, half, batch
        self.hits = self.misses = 0

    def features(self, corpus: Corpus, encoder: Encoder) -> Stored:
        """Of every utterance. Raises OperatorError for the first that cannot be encoded."""
        found = self._looked_up(corpus.utterances, encoder)
        for utterance, result in zip(corpus.utterances, found, strict=True):
            if isinstance(result, str):
                raise OperatorError(f"{corpus.name}, {utterance.id}: {result}; leave the clip out, or repair it")
        return Stored([result for result in found if isinstance(result, Path)])

    def streams(self, corpus: Corpus, encoders: Mapping[str, Encoder]) -> Streams:
        """All streams of a corpus; an utterance that one of them cannot encode is left out and told in ``bad``.

        Raises OperatorError when none is left.
        """
        found = {name: self._looked_up(corpus.utterances, encoder) for name, encoder in encoders.items()}
        kept: list[int] = []
        bad = list(corpus.bad)
        for number, utterance in enumerate(corpus.utterances):
            why = [f"{name}: {results[number]}" for name, results in found.items() if isinstance(results[number], str)]
            if why:
                bad.append(f"{corpus.name}, {utterance.id}: {'; '.join(why)}")
            else:
                kept.append(number)
        if not kept:
            raise OperatorError(f"{corpus.name}: no clip can be encoded ({'; '.join(bad[-3:])}); correct the files")
        left = corpus._replace(utterances=tuple(corpus.utterances[n] for n in kept), bad=tuple(bad))
        return Streams(left, {name: Stored([Path(results[n]) for n in kept]) for name, results in found.items()})

    def _looked_up(self, utterances: Iterable[Utterance], encoder: Encoder) -> list[Path | str]:
        """For each utterance the file of its features, or why there is none."""
        folder = self._folder(encoder)
        found: list[Path | str] = []
        batch: dict[Path, Any] = {}
        useless: set[Path] = set()
        for utterance in utterances:
            content = _content(utterance, encoder)
            path = _path(folder, content)
            kept = _read(path)
            if kept is not None:
                self.hits += 1
                useless |= set() if np.isfinite(kept).all() else {path}
            elif path not in batch:
                item = _item(content, utterance, encoder)
                if isinstance(item, Rejected):
                    found.append(item.detail)
                    continue
                batch[path] = item
            found.append(path)
            if len(batch) == self.batch:
                useless |= self._computed(batch, encoder)
        useless |= self._computed(batch, encoder)
        return [f"{encoder.key} gives features that are no finite numbers" if f in useless else f for f in found]

    def _computed(self, batch: dict[Path, Any], encoder: Encoder) -> set[Path]:
        """Encode and write what the batch holds, and empty it; returns the files with features that are no numbers.

        Those are kept as well, so that no encoder is asked for them again.
        """
        if not batch:
            return set()
        useless = set()
        for path, rows in zip(batch, encoder.encode(list(batch.values())), strict=True):
            if rows.ndim != 2 or not len(rows) or rows.shape[1] != encoder.dim:
                raise ValueError(f"{encoder.key} returned {rows.shape}, not (frames, {encoder.dim})")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, _rendered(rows, half=self.half))
            useless |= set() if np.isfinite(rows).all() else {path}
        self.misses += len(batch)
        batch.clear()
        return useless

    def _folder(self, encoder: Encoder) -> Path:
        name = "\n".join((FORMAT, encoder.key, "float16" if self.half else "float32", ""))
        folder = self.folder / hashlib.sha256(name.encode()).hexdigest()[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / NAME).exists():
                write_whole(folder / NAME, name.encode())  # for whoever wonders what may be deleted
        except OSError as error:
            raise OperatorError(f"{folder} cannot be written ({error.strerror}); name another feature store") from None
        return folder


def _content(utterance: Utterance, encoder: Encoder) -> bytes:
    """What the encoder is given, as bytes. A clip without a transcript is read as an empty one."""
    return utterance.audio() if encoder.kind == "audio" else (utterance.text or "").encode("utf-8", "replace")


def _item(content: bytes, utterance: Utterance, encoder: Encoder) -> Any:
    """What the encoder takes, or the Rejected that says why there is nothing to take."""
    if encoder.kind == "text":
        return content.decode()
    try:
        return to_speech(content, utterance.id).samples
    except Rejected as error:
        return error


def _path(folder: Path, content: bytes) -> Path:
    name = hashlib.sha256(content).hexdigest()
    return folder / name[:2] / f"{name}.features"


def _rendered(rows: np.ndarray, *, half: bool) -> bytes:
    """A digest, and behind it the bytes of an .npy file."""
    kept = rows.astype(np.float32)
    if half:
        with np.errstate(over="ignore"):
            kept = kept.astype(np.float16)
        if np.isfinite(rows).all() and not np.isfinite(kept).all():
            raise OperatorError("a feature is too large for float16; keep this encoder's features in full precision")
    buffer = io.BytesIO()
    np.save(buffer, kept, allow_pickle=False)
    return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()


def _read(path: Path) -> np.ndarray | None:
    """float32, or None when there is no such file; one that is broken is told and taken for none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OperatorError(f"{path} cannot be read ({error.strerror}); name another feature store") from None
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        _log.warning("features.broken", path=str(path), action="computed anew")
        return None
    return np.load(io.BytesIO(content[DIGEST:]), allow_pickle=False).astype(np.float32)

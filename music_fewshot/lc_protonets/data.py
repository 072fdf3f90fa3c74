"""A corpus as the tensors that training cuts its windows from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from common.data.images import hold_out
from common.errors import OperatorError
from contracts.models import DataSource
from music_fewshot.lc_protonets import corpora
from music_fewshot.lc_protonets.config import Config
from music_fewshot.lc_protonets.corpora import Corpus, Split
from music_fewshot.lc_protonets.model import Embedder

HELD_OUT = 0.15
"""Of the training items, where a corpus has no development part."""
CHUNK = 64
"""Clips that pass the front-end together."""
FULL_SCALE = {np.dtype(np.int16): 1 / 32768, np.dtype(np.uint8): 1 / 255}
"""Of samples and grey values; other inputs are taken as they are."""


class Rows(NamedTuple):
    """One split, past the front-end, which learns nothing."""

    pictures: Tensor
    """float16 (n, mels, frames) of whole clips in dB; or a corpus's own pictures or rows, float32 (n, ...)"""
    truth: Tensor
    """bool (n, tags)"""
    width: int
    """Of one window, on the last axis."""

    @property
    def starts(self) -> int:
        """Places at which a window may begin."""
        return self.pictures.shape[-1] - self.width + 1

    def cut(self, rows: Tensor, starts: Tensor) -> Tensor:
        """float32: the window of each row that begins at its start; both int64 (b,)."""
        pairs = zip(rows.tolist(), starts.tolist(), strict=True)
        return torch.stack([self.pictures[row, ..., start : start + self.width] for row, start in pairs]).float()

    def middle(self, rows: Tensor) -> Tensor:
        """float32: the window in the middle of each row."""
        return self.cut(rows, torch.full_like(rows, (self.starts - 1) // 2))


def load(config: Config, data: Path | None) -> Corpus:
    """The corpus, with a development split in any case.

    Raises OperatorError as ``corpora.load`` does, and where rate or number of tags do not fit the configuration.
    """
    corpus = corpora.load(config.data.name, data)
    if corpus.kind == "waveform" and corpus.sample_rate != config.model.sample_rate:
        raise OperatorError(f"model.sample_rate: {corpus.name} has {corpus.sample_rate} Hz; set it to that")
    trained = corpus.base - config.data.validation_tags
    if config.episodic.epochs and trained < config.episodic.ways:
        raise OperatorError(
            f"{corpus.name} has {corpus.base} base tags: without {config.data.validation_tags} for validation too few "
            f"for {config.episodic.ways}-way episodes; lower data.validation_tags or episodic.ways"
        )
    if corpus.splits["dev"].ids:
        return corpus
    train = corpus.splits["train"]
    kept, held = hold_out(len(train.ids), HELD_OUT, config.seed)
    return corpus._replace(splits={**corpus.splits, "train": _part(train, kept), "dev": _part(train, held)})


def source(corpus: Corpus) -> DataSource:
    """What the run's manifest keeps of the corpus."""
    items = sum(len(split.ids) for split in corpus.splits.values())
    return DataSource(name=corpus.name, licence=corpus.licence, sha256=corpus.sha256, items=items)


def embedder(config: Config, corpus: Corpus) -> Embedder:
    """A network for inputs of this corpus, with random weights."""
    shape = corpus.splits["train"].inputs.shape[1:] if corpus.kind != "waveform" else (config.model.window,)
    return Embedder(corpus.kind, shape, corpus.base, config.model, learned_scale=config.episodic.learned_scale)


def floats(inputs: np.ndarray) -> np.ndarray:
    """float32, with samples in [-1, 1) and grey values in [0, 1]."""
    return inputs.astype(np.float32) * np.float32(FULL_SCALE.get(inputs.dtype, 1))


def rows(model: Embedder, split: Split) -> Rows:
    """On the model's device; a clip shorter than a window is repeated."""
    device = model.shape.device
    truth = torch.from_numpy(split.truth).to(device)
    if model.kind != "waveform":
        pictures = torch.from_numpy(floats(split.inputs)).to(device)
        return Rows(pictures, truth, pictures.shape[-1])
    window = int(model.shape)
    with torch.no_grad():
        parts = [
            model.front(torch.from_numpy(floats(repeated(split.inputs[at : at + CHUNK], window))).to(device)).half()
            for at in range(0, len(split.ids), CHUNK)
        ]
        return Rows(torch.cat(parts), truth, model.frames)


def repeated(clips: np.ndarray, window: int) -> np.ndarray:
    """(n, samples >= window): short clips again and again, until they fill a window."""
    return clips if clips.shape[1] >= window else np.stack([np.resize(clip, window) for clip in clips])


def _part(split: Split, chosen: np.ndarray) -> Split:
    return Split(tuple(split.ids[i] for i in chosen.tolist()), split.truth[chosen], split.inputs[chosen])

"""Embeddings of a whole split, as the server makes them: cut into windows, run, average."""

import numpy as np
import torch

from common.audio import windows
from music_fewshot.features import pooled
from music_fewshot.lc_protonets.corpora import Split
from music_fewshot.lc_protonets.data import floats
from music_fewshot.lc_protonets.model import Embedder

CHUNK = 32
"""Rows per forward pass, about."""


def embed_split(model: Embedder, split: Split) -> np.ndarray:
    """float32 (n, D), by a network in eval mode; of a clip the plain mean over its windows."""
    if model.training:
        raise ValueError("a split is embedded in eval mode: batch statistics belong to training")
    if model.kind != "waveform":
        parts = (split.inputs[at : at + CHUNK] for at in range(0, len(split.inputs), CHUNK))
        return np.concatenate([_forward(model, floats(part)) for part in parts])
    window = int(model.shape)
    each = max(1, split.inputs.shape[1] // window)
    step = max(1, CHUNK // each)
    found: list[np.ndarray] = []
    for at in range(0, len(split.inputs), step):
        clips = floats(split.inputs[at : at + step])
        rows = _forward(model, np.concatenate([windows(clip, window) for clip in clips]))
        found += [pooled(clip) for clip in np.split(rows, len(clips))]
    return np.stack(found)


def _forward(model: Embedder, rows: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.from_numpy(rows).to(model.shape.device)).cpu().numpy()

"""From an uploaded clip to the rows an embedding graph takes, and from their embeddings to the clip's.

numpy, soundfile and soxr only: trainer and server share it.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from common.audio import decode_at, windows
from contracts.media import AUDIO_LIMITS, AudioLimits
from contracts.models import AudioInput


class Clip(NamedTuple):
    """A decoded clip."""

    rows: np.ndarray
    """float32 (windows, samples of one window)"""
    seconds: float
    """Of the whole clip, the tail that no window holds included."""
    sha256: str
    """Of the file."""


def to_clip(data: bytes, spec: AudioInput, name: str = "clip", limits: AudioLimits = AUDIO_LIMITS) -> Clip:
    """Decode, resample and cut as the model's card says. Raises what ``common.audio.decode_at`` raises."""
    samples = decode_at(data, spec.sample_rate, limits, name)
    seconds = len(samples) / spec.sample_rate
    return Clip(windows(samples, spec.window), seconds, hashlib.sha256(data).hexdigest())


def pooled(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings float32 (windows, D) of a clip's windows -> float32 (D,): their mean, not normalised before.

    Source: arXiv 2409.11264, section 1 of our notes. Summed in float64, so the number of rows in one execution does
    not show.
    """
    return embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)

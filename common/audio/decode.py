"""Mono samples of a sound file, or a refusal that says what to send instead."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from common.audio.resample import resampled
from common.audio.source import Source, blocks, opened
from common.errors import Invalid
from contracts.media import AUDIO_LIMITS, AudioLimits


class Audio(NamedTuple):
    """A clip."""

    samples: np.ndarray
    """float32 (n,), mono; full scale is 1."""
    sample_rate: int


def decode(data: bytes, limits: AudioLimits = AUDIO_LIMITS, name: str = "audio") -> Audio:
    """A WAV, FLAC, Ogg or MP3 file at its own rate; ``name`` stands for it in messages.

    Memory: 8 bytes for each sample of ``limits.seconds`` at the file's rate. Thread-safe; most of it without the GIL.

    Raises: Malformed (empty, broken, cut off), Unsupported (another format, rate or number of channels), TooLarge,
    Invalid (too short, silent, samples that are no numbers).
    """
    with opened(data, limits, name) as source:
        return Audio(_collected(blocks(source, limits), source, limits), source.sample_rate)


def decode_at(data: bytes, sample_rate: int, limits: AudioLimits = AUDIO_LIMITS, name: str = "audio") -> np.ndarray:
    """As ``decode``, resampled on the way: float32 (n,) at ``sample_rate``, n = the clip's seconds times it, rounded.

    Memory: 8 bytes for each sample of ``limits.seconds`` at ``sample_rate``, whatever the file's own rate.
    """
    with opened(data, limits, name) as source:
        return _collected(resampled(blocks(source, limits), source.sample_rate, sample_rate), source, limits)


def _collected(pieces: Iterable[np.ndarray], source: Source, limits: AudioLimits) -> np.ndarray:
    samples = np.concatenate([np.zeros(0, np.float32), *pieces])
    name, seconds = source.name, source.seconds_read
    if seconds < limits.shortest:
        raise Invalid.field(name, f"lasts {seconds:.3g} s, below {limits.shortest:g} s nothing can be heard; send more")
    if not np.isfinite(samples).all():
        raise Invalid.field(name, "has samples that are no finite numbers; export the clip again")
    if max(samples.max(initial=0.0), -samples.min(initial=0.0)) <= limits.silence:
        raise Invalid.field(name, "is silent; send a clip in which something sounds")
    return samples

"""From an uploaded recording to what the graph takes, and from its logits to probabilities.

numpy, soundfile and soxr only: trainer and server share it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.audio import decode_at
from contracts.media import AudioLimits
from contracts.speech import CLIPPED, FRAMES, FRAMES_MASK, SAMPLE_RATE, SPEECH_LIMITS, UNRELIABLE

FULL_SCALE = 0.99
"""Amplitude from which on a sample counts as clipped: another sample rate rounds off what was flat."""
BLOCK = 400
"""Samples whose loudness is told together: 25 ms."""
PAUSE = 0.03
"""Amplitude relative to the loud blocks (-30 dB) below which nobody speaks."""
SPOKEN = 0.25
"""Share of the recording; below it the answer rests on little."""


class Speech(NamedTuple):
    """A decoded recording."""

    samples: np.ndarray
    """float32 (n,), mono at 16 kHz; full scale is 1."""
    seconds: float
    clipped: float
    """Share of the samples at full scale."""


def to_speech(data: bytes, name: str = "file", limits: AudioLimits = SPEECH_LIMITS) -> Speech:
    """Decode, mix to mono, resample; ``name`` stands for the recording in messages.

    Raises what ``common.audio.decode_at`` raises: Malformed, Unsupported, TooLarge, and Invalid for what is too short,
    silent, or no finite numbers.
    """
    samples = decode_at(data, SAMPLE_RATE, limits, name)
    return Speech(samples, len(samples) / SAMPLE_RATE, float((np.abs(samples) >= FULL_SCALE).mean()))


def warnings(speech: Speech) -> tuple[str, ...]:
    """What makes an answer for the recording less reliable."""
    spoken = _spoken(speech.samples)
    found = (
        (speech.seconds < UNRELIABLE, f"{speech.seconds:.2f} s is short: below {UNRELIABLE:g} s answers are guesses"),
        (speech.clipped >= CLIPPED, f"{speech.clipped:.0%} of the samples are clipped: record at a lower level"),
        (spoken < SPOKEN, f"only {spoken:.0%} of the recording is not pause: send the part in which somebody speaks"),
    )
    return tuple(message for holds, message in found if holds)


def pieces(samples: np.ndarray, longest_seconds: float) -> list[np.ndarray]:
    """float32 (n,), n > 0 -> the fewest equal pieces, a sample more or less, of at most ``longest_seconds`` each."""
    most = max(1, int(longest_seconds * SAMPLE_RATE))
    return np.array_split(samples, -(-len(samples) // most))


def segments(n_samples: int, window_s: float, hop_s: float) -> list[tuple[int, int]]:
    """The first sample of each window and the one after its last.

    Windows begin a hop apart; the last one ends with the recording, so it may begin less than a hop after the one
    before. A recording no longer than the window is one segment. Longer hops than windows leave gaps.
    """
    window, hop = round(window_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
    if n_samples <= window:
        return [(0, n_samples)]
    last = n_samples - window
    return [(start, start + window) for start in (*range(0, last, hop), last)]


def padded(frames: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Frames float32 (n_i, features) of each row -> the graph's ``frames`` (rows, longest, features), zeros behind, and
    ``frames_mask`` (rows, longest), true where a frame lies."""
    lengths = np.array([len(of) for of in frames])
    mask = np.arange(lengths.max()) < lengths[:, None]
    stacked = np.zeros((*mask.shape, frames[0].shape[1]), np.float32)
    stacked[mask] = np.concatenate(frames)
    return {FRAMES: stacked, FRAMES_MASK: mask}


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Logits (..., classes) -> float64 probabilities under a temperature; any finite logits will do."""
    scaled = logits.astype(np.float64) / temperature
    likelihood = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return likelihood / likelihood.sum(axis=-1, keepdims=True)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """-Σ p ln p of (..., classes), nats: 0 for a certain answer, ln(classes) for an even one."""
    some = np.where(probabilities > 0.0, probabilities, 1.0)
    # Rounding must not make a certain answer less than certain.
    return np.maximum(-(some * np.log(some)).sum(axis=-1), 0.0)


def _spoken(samples: np.ndarray) -> float:
    """Share of the recording that is not pause."""
    whole = max(1, len(samples) // BLOCK)
    blocks = np.resize(samples.astype(np.float64), (whole, min(BLOCK, len(samples))))
    rms = np.sqrt(np.square(blocks - blocks.mean()).mean(axis=1))
    # Weighted by itself, as common.audio.frames does, so that long pauses do not make it lower.
    level = (rms @ rms) / max(rms.sum(), np.finfo(np.float64).tiny)
    return float((rms >= PAUSE * level).mean())

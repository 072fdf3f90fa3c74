"""What speech models hear: 64 bands and 20 descriptors of voice and spectrum, each 10 ms.

numpy only; trainer and server share it. Whatever changes a number gets a new ``FRONT_END``.
"""

import numpy as np

from common.audio.descriptors import FIRST_BIN, Sound, descriptors
from common.audio.mel import BLOCK, HOP, MELS, RATE, WINDOW, framed, in_blocks, log_mel, power
from common.audio.pitch import pitch
from common.errors import Invalid

__all__ = ["FEATURES", "FRONT_END", "HOP", "MELS", "NAMES", "RATE", "WINDOW", "speech_frames"]

FRONT_END = "speech-frames-1"
DESCRIPTORS = (
    "log_energy",
    "zero_crossings",
    "f0",
    "voicing",
    "harmonicity",
    "jitter",
    "shimmer",
    "centroid",
    "spread",
    "roll_off_50",
    "roll_off_85",
    "flatness",
    "flux",
    "slope_500",
    "slope_1500",
    "alpha_ratio",
    "hammarberg",
    "h1_h2",
    "h1_a3",
    "cepstral_peak",
)
"""Defined in ``common.audio.descriptors``."""
NAMES: tuple[str, ...] = (*(f"mel_{band:02d}" for band in range(MELS)), *DESCRIPTORS)
"""Columns of ``speech_frames``."""
FEATURES = len(NAMES)
LEAST = 1e-6
"""Level relative to the peak, a constant included, below which there is nothing but rounding."""


def speech_frames(samples: np.ndarray) -> np.ndarray:
    """float32 (n,) at 16 kHz -> float32 (max(1, 1 + (n - ``WINDOW``) // ``HOP``), ``FEATURES``).

    Frame i holds samples i * ``HOP`` to i * ``HOP`` + ``WINDOW``; a clip shorter than one frame is filled up with
    zeros. The level of the recording does not show: all is relative to ``level``. Always finite. Memory: 14 kB a frame;
    cut long recordings into pieces before.

    Raises: Invalid for ``samples`` that are no finite numbers.
    """
    scaled = _scaled(samples)
    count = max(1, 1 + (len(samples) - WINDOW) // HOP)
    spectrum = in_blocks(power, framed(scaled, WINDOW, count))
    reference = level(spectrum)
    scaled /= reference
    spectrum /= reference**2
    sound = Sound(framed(scaled, WINDOW, count), spectrum, pitch(scaled, count))
    return np.concatenate([_block(sound, start) for start in range(0, count, BLOCK)])


def _block(sound: Sound, start: int) -> np.ndarray:
    before = min(start, 1)  # the changes of the first frame are those from the frame before
    part = sound.part(slice(start - before, start + BLOCK))
    found = descriptors(part)
    return np.column_stack([log_mel(part.power), *(found[name] for name in DESCRIPTORS)])[before:].astype(np.float32)


def level(spectrum: np.ndarray) -> float:
    """Power (frames, 257) -> the amplitude where something sounds: the mean RMS of frames, weighted by their RMS.

    Pauses weigh nothing, and there is no threshold at which a frame would start to count.
    """
    rms = np.sqrt(spectrum[:, FIRST_BIN:].mean(axis=1))
    return max(float(rms @ rms) / max(float(rms.sum()), LEAST), LEAST)


def _scaled(samples: np.ndarray) -> np.ndarray:
    """float64 (at least ``WINDOW``,) without its mean, of a size whose squares do not overflow."""
    if not np.isfinite(samples).all():
        raise Invalid.field("samples", "are not all finite numbers; repair or leave out the recording")
    scaled = samples.astype(np.float64) / (np.abs(samples).max(initial=0.0) or 1.0)
    return np.pad(scaled - (scaled.mean() if len(scaled) else 0.0), (0, max(0, WINDOW - len(scaled))))

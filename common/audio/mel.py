"""Power spectra of short frames, and their bands on the mel scale."""

from collections.abc import Callable
from functools import cache

import numpy as np

RATE = 16_000
"""Samples per second."""
HOP = 160
"""Samples from one frame to the next: 10 ms."""
WINDOW = 400
"""Samples of a frame: 25 ms."""
FFT = 512
MELS = 64
LOWEST, HIGHEST = 50.0, 7_600.0
"""Hz: the outer feet of the first and the last band."""
BLOCK = 64
"""Frames worked on at once: what a step leaves for the next stays in the processor's cache."""
FLOOR = 1e-6
"""Added to a power before its logarithm: -60 dB of the recording's level, so that what a microphone adds in pauses does
not count."""


def frequencies() -> np.ndarray:
    """float64 (257,): Hz of the bins of ``power``."""
    return np.fft.rfftfreq(FFT, 1.0 / RATE)


def hann(length: int) -> np.ndarray:
    """float64 (length,): the periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def framed(samples: np.ndarray, window: int, frames: int) -> np.ndarray:
    """float64 (n,) -> float64 (frames, window): a view, frame i starts at sample i * ``HOP``."""
    return np.lib.stride_tricks.sliding_window_view(samples, window)[::HOP][:frames]


def in_blocks(function: Callable[[np.ndarray], np.ndarray], frames: np.ndarray) -> np.ndarray:
    """``function`` of frames (frames, n), which takes each row by itself, ``BLOCK`` rows at a time."""
    return np.concatenate([function(frames[start : start + BLOCK]) for start in range(0, len(frames), BLOCK)])


def power(frames: np.ndarray, size: int = FFT) -> np.ndarray:
    """float64 (frames, n) -> float64 (frames, size // 2 + 1): power in each bin of the frame without its mean.

    White noise of variance v has v in every bin: |DFT(w x)|² / Σ w² with the Hann window w.
    """
    window = hann(frames.shape[1])
    spectrum = np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window, size)
    return (spectrum.real**2 + spectrum.imag**2) / (window @ window)


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """The mel scale of HTK: 1127 ln(1 + f / 700)."""
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


@cache
def filters() -> np.ndarray:
    """float64 (257, ``MELS``): weights of the bins in each band; every column sums to 1.

    Triangles with equal sides on the mel scale (S. Davis, P. Mermelstein, 1980; HTK book, section 5.4), so a band is a
    weighted mean of powers and white noise is flat.
    """
    edges = np.linspace(mel(LOWEST), mel(HIGHEST), MELS + 2)
    width = edges[1] - edges[0]
    triangles = np.clip(1.0 - np.abs(mel(frequencies())[:, None] - edges[None, 1:-1]) / width, 0.0, None)
    return triangles / triangles.sum(axis=0)


def log_mel(spectrum: np.ndarray) -> np.ndarray:
    """Power float64 (frames, 257) relative to the level -> float64 (frames, ``MELS``), nats."""
    return np.log(spectrum @ filters() + FLOOR)

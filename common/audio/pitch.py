"""The fundamental frequency of every frame and how periodic it is.

P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
sound", IFA Proceedings 17, 1993: the autocorrelation of the windowed frame over that of the window.
"""

from functools import cache, partial
from typing import NamedTuple

import numpy as np

from common.audio.mel import HOP, RATE, WINDOW, framed, hann, in_blocks, power

LOWEST, HIGHEST = 55.0, 500.0
"""Hz"""
SPAN = 640
"""Samples under the window, centred on the frame: 40 ms, two periods of the lowest pitch."""
FFT = 960
"""At least ``SPAN`` and the longest lag, so that nothing wraps around."""
QUIET = 1e-5
"""Power relative to the level (-50 dB) at which a frame that is perfectly periodic counts as half voiced."""
VOICED = 0.5
"""Periodicity from which on a frame has a pitch (Boersma's voicing threshold is 0.45, for a longer window)."""
OCTAVE = 0.01
"""Periodicity that an octave upwards is worth: every multiple of a period repeats it as well (Boersma, eq. 26)."""
HOME = 0.08
"""Periodicity that an octave away from the pitch around costs; takes the place of a path search."""
NEAR = 20
"""Frames to either side that count as around."""
FULL, NONE = 2_000.0, 4_000.0
"""Hz: partials below the first count in full, above the second not at all. Higher ones make peaks so narrow that they
fall between two lags, are hidden in noise, and are missing in telephone speech."""
_LOW = 0.5 + 0.5 * np.cos(np.pi * np.clip((np.fft.rfftfreq(FFT, 1.0 / RATE) - FULL) / (NONE - FULL), 0.0, 1.0))
_LAGS = np.arange(int(RATE / HIGHEST) - 1, int(np.ceil(RATE / LOWEST)) + 2)
"""Samples: all that are possible, and one more at either end."""


class Pitch(NamedTuple):
    """Of every frame."""

    hertz: np.ndarray
    """float64 (frames,), 0 where unvoiced"""
    voicing: np.ndarray
    """float64 (frames,), 0 to 1: height of the autocorrelation's chosen peak"""
    spectrum: np.ndarray
    """float64 (frames, 481): power of the windowed spans, ``RATE`` / ``FFT`` = 16.7 Hz a bin"""


def pitch(samples: np.ndarray, frames: int) -> Pitch:
    """float64 (n,) of level 1 -> the pitch of the ``frames`` frames of ``WINDOW`` samples each ``HOP``."""
    spectrum = in_blocks(partial(power, size=FFT), _spans(samples, frames))
    return Pitch(*_smooth(*_chosen(in_blocks(_periodic, spectrum))), spectrum)


def _periodic(spectrum: np.ndarray) -> np.ndarray:
    """Power (frames, 481) -> normalised autocorrelation (frames, ``len(_LAGS)``)."""
    correlation = np.fft.irfft(spectrum * _LOW, FFT)
    # Boersma eq. 9: r_x(lag) ~ r_xw(lag) / r_w(lag), each with 1 at lag 0
    return correlation[:, _LAGS] / ((correlation[:, :1] + QUIET) * _window_correlation())


def _spans(samples: np.ndarray, frames: int) -> np.ndarray:
    before = (SPAN - WINDOW) // 2
    padded = np.zeros((frames - 1) * HOP + SPAN)
    kept = samples[: len(padded) - before]
    padded[before : before + len(kept)] = kept
    return framed(padded, SPAN, frames)


@cache
def _window_correlation() -> np.ndarray:
    correlation = np.fft.irfft(np.abs(np.fft.rfft(hann(SPAN), FFT)) ** 2, FFT)
    return correlation[_LAGS] / correlation[0]


def _chosen(periodic: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation (frames, lags) -> pitch in Hz and height of the best peak (frames,); the height is 0 if none."""
    octaves = np.log2(_LAGS[1:-1])
    heights = in_blocks(_peaks, periodic)
    # Boersma eq. 26, on the peaks between the samples' lags
    strength = heights - OCTAVE * octaves
    best = strength.argmax(axis=1)
    usual, weight = _around(octaves[best], heights[np.arange(len(best)), best] >= VOICED)
    strength -= HOME * weight[:, None] * np.abs(octaves - usual[:, None])
    return _between(periodic, heights, strength.argmax(axis=1))


def _around(octaves: np.ndarray, voiced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frames,) each -> mean over the voiced frames up to ``NEAR`` away, and the share of voiced frames among them."""

    def total(values: np.ndarray) -> np.ndarray:
        padded = np.pad(np.cumsum(values), (NEAR + 1, NEAR), mode="edge")
        padded[: NEAR + 1] = 0.0
        return padded[2 * NEAR + 1 :] - padded[: -2 * NEAR - 1]

    count = total(voiced.astype(np.float64))
    return total(np.where(voiced, octaves, 0.0)) / np.maximum(count, 1.0), count / (2 * NEAR + 1)


def _peaks(periodic: np.ndarray) -> np.ndarray:
    """Autocorrelation (frames, lags) -> (frames, lags - 2): the height of a peak that lies there, -1 elsewhere.

    The height is that of a parabola through three lags: a short period rarely is a whole number of samples, and its
    double would look higher.
    """
    left, middle, right = periodic[:, :-2], periodic[:, 1:-1], periodic[:, 2:]
    found = (middle >= left) & (middle > right)
    curvature = np.where(found, left - 2.0 * middle + right, -1.0)
    return np.where(found, middle - (left - right) ** 2 / (8.0 * curvature), -1.0)


def _between(periodic: np.ndarray, heights: np.ndarray, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pitch in Hz of the parabola's top, between the lags, and its height."""
    rows = np.arange(len(best))
    left, middle, right = (periodic[rows, best + shift] for shift in (0, 1, 2))
    found = heights[rows, best] > -1.0
    shift = np.where(found, 0.5 * (left - right) / np.where(found, left - 2.0 * middle + right, -1.0), 0.0)
    return RATE / (_LAGS[best + 1] + shift), np.clip(heights[rows, best], 0.0, 1.0)


def _smooth(hertz: np.ndarray, voicing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median of three neighbouring voiced frames: a single octave error goes, a glide stays as it is."""
    voiced = voicing >= VOICED
    hertz = np.where(voiced, hertz, 0.0)
    three = np.stack([np.roll(hertz, 1), hertz, np.roll(hertz, -1)])
    inside = voiced & np.roll(voiced, 1) & np.roll(voiced, -1)
    inside[[0, -1]] = False
    return np.where(inside, np.median(three, axis=0), hertz), voicing

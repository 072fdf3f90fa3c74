"""Low-level descriptors of voice and spectrum, one number for each frame, as openSMILE's sets have them.

F. Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
IEEE Transactions on Affective Computing 7(2), 2016, section 3 and 6, unless a line says otherwise.
"""

from typing import NamedTuple

import numpy as np

from common.audio.mel import FLOOR, RATE, frequencies
from common.audio.pitch import FFT as FINE
from common.audio.pitch import HIGHEST, LOWEST, Pitch

SEMITONES_FROM = 27.5
"""Hz of 0 semitones."""
FIRST_BIN = 2
"""Of a spectrum's sums: 62.5 Hz; below is rumble."""
MOST_SHIMMER = 4.0
"""Nats between neighbouring frames."""


class Sound(NamedTuple):
    """One recording at level 1, cut into frames."""

    frames: np.ndarray
    """float64 (frames, 400)"""
    power: np.ndarray
    """float64 (frames, 257)"""
    pitch: Pitch

    def part(self, which: slice) -> "Sound":
        """Some of the frames."""
        return Sound(self.frames[which], self.power[which], Pitch(*(of[which] for of in self.pitch)))


def descriptors(sound: Sound) -> dict[str, np.ndarray]:
    """By name: float64 (frames,) each."""
    return {**_energy(sound), **_voice(sound), **_shape(sound), **_balance(sound), **_harmonics(sound)}


def _energy(sound: Sound) -> dict[str, np.ndarray]:
    # Not at 0: the rounding of a silent sample would decide.
    above = sound.frames - sound.frames.mean(axis=1, keepdims=True) > np.sqrt(FLOOR)
    return {
        # nats relative to the level
        "log_energy": np.log(sound.power[:, FIRST_BIN:].mean(axis=1) + FLOOR),
        # share of neighbouring samples between which zero is crossed
        "zero_crossings": (above[:, 1:] != above[:, :-1]).mean(axis=1),
    }


def _voice(sound: Sound) -> dict[str, np.ndarray]:
    hertz, voicing = sound.pitch.hertz, sound.pitch.voicing
    voiced = hertz > 0.0
    both = voiced & np.roll(voiced, 1)
    both[0] = False
    period = 1.0 / np.where(voiced, hertz, 1.0)
    before = np.roll(period, 1)
    loud = 0.5 * np.log(sound.pitch.spectrum.max(axis=1) + FLOOR)
    periodic = np.clip(voicing, 0.01, 0.9999)
    return {
        # semitones above 27.5 Hz, 0 where unvoiced
        "f0": np.where(voiced, 12.0 * np.log2(np.where(voiced, hertz, SEMITONES_FROM) / SEMITONES_FROM), 0.0),
        "voicing": voicing,
        # Boersma 1993, eq. 4: harmonics to noise up to 3 kHz, here in bel, within -2 and 4
        "harmonicity": np.log10(periodic / (1.0 - periodic)),
        # periods, and nats of the strongest partials, of neighbouring voiced frames, in place of neighbouring periods
        "jitter": np.where(both, np.abs(period - before) / (0.5 * (period + before)), 0.0),
        "shimmer": np.where(both, np.minimum(np.abs(loud - np.roll(loud, 1)), MOST_SHIMMER), 0.0),
    }


def _shape(sound: Sound) -> dict[str, np.ndarray]:
    power = sound.power[:, FIRST_BIN:] + FLOOR
    share = power / power.sum(axis=1, keepdims=True)
    kilohertz = frequencies()[FIRST_BIN:] / 1_000.0
    centroid = share @ kilohertz
    below = share.cumsum(axis=1)
    change = np.diff(share, axis=0, prepend=share[:1])
    return {
        # kHz: centre of gravity, and the standard deviation around it
        "centroid": centroid,
        "spread": np.sqrt(np.clip(share @ kilohertz**2 - centroid**2, 0.0, None)),
        # kHz: below it lies this share of the power
        "roll_off_50": kilohertz[(below < 0.50).sum(axis=1).clip(max=len(kilohertz) - 1)],
        "roll_off_85": kilohertz[(below < 0.85).sum(axis=1).clip(max=len(kilohertz) - 1)],
        # nats: geometric over arithmetic mean, 0 for a white spectrum
        "flatness": np.log(power).mean(axis=1) - np.log(power.mean(axis=1)),
        # distance to the frame before, each spectrum of sum 1 (openSMILE's cSpectral with normalised bins)
        "flux": np.sqrt((change**2).sum(axis=1)),
    }


def _balance(sound: Sound) -> dict[str, np.ndarray]:
    hertz = frequencies()[FIRST_BIN:]
    power = sound.power[:, FIRST_BIN:] + FLOOR
    log = np.log(power)

    def band(low: float, high: float) -> slice:
        return slice(*np.searchsorted(hertz, (low, high + 1.0)))

    def slope(low: float, high: float) -> np.ndarray:
        kilohertz = hertz[band(low, high)] / 1_000.0
        centred = kilohertz - kilohertz.mean()
        return log[:, band(low, high)] @ (centred / (centred @ centred))

    return {
        # nats per kHz of the straight line through the logarithmic spectrum
        "slope_500": slope(0.0, 500.0),
        "slope_1500": slope(500.0, 1_500.0),
        # nats: power up to 1 kHz over 1 to 5 kHz
        "alpha_ratio": np.log(power[:, band(0.0, 1_000.0)].sum(axis=1) / power[:, band(1_000.0, 5_000.0)].sum(axis=1)),
        # nats: the strongest bin up to 2 kHz over the strongest of 2 to 5 kHz
        "hammarberg": log[:, band(0.0, 2_000.0)].max(axis=1) - log[:, band(2_000.0, 5_000.0)].max(axis=1),
    }


def _harmonics(sound: Sound) -> dict[str, np.ndarray]:
    hertz, fine = sound.pitch.hertz, np.log(sound.pitch.spectrum + FLOOR)
    voiced, rows = hertz > 0.0, np.arange(len(hertz))
    cepstrum = np.abs(np.fft.irfft(fine, FINE)[:, int(RATE / HIGHEST) : int(RATE / LOWEST) + 1])

    def partial(number: int) -> np.ndarray:
        middle = np.rint(number * hertz * FINE / RATE).astype(np.int64).clip(1, fine.shape[1] - 2)
        return np.stack([fine[rows, middle + shift] for shift in (-1, 0, 1)]).max(axis=0)

    high = fine[:, int(2_000 * FINE / RATE) : int(3_500 * FINE / RATE)].max(axis=1)
    return {
        # nats: the first partial over the second, and over the strongest between 2 and 3.5 kHz (where F3 lies); 0
        # where unvoiced
        "h1_h2": np.where(voiced, partial(1) - partial(2), 0.0),
        "h1_a3": np.where(voiced, partial(1) - high, 0.0),
        # nats: the cepstrum's highest at a possible pitch over its mean there (after J. Hillenbrand et al., 1994)
        "cepstral_peak": cepstrum.max(axis=1) - cepstrum.mean(axis=1),
    }

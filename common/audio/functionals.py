"""One vector for a whole clip: statistics of its frames over time, as openSMILE's sets have them.

F. Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS)", IEEE Trans. Affective Computing 7(2), 2016:
functionals of low-level descriptors, over all frames, over voiced frames, and the lengths of what is voiced. The
code is ours; no number is meant to equal openSMILE's.
"""

from collections.abc import Iterator

import numpy as np

from common.audio.frames import FEATURES, MELS, NAMES

NAME = "speech-functionals-1"
"""Whatever changes a number gets a new one."""
BANDS = 16
"""Wide bands, each the mean of four of the front end's: finer ones tell speakers apart rather than emotions."""
CEPSTRA = 20
"""Coefficients of the cosine transform of the mel bands."""
ACTIVE = 5.0
"""Nats of log energy below the clip's 95th percentile up to which a frame counts as speech (22 dB)."""
PERCENTILES = (5, 20, 50, 80, 95)
PER_SECOND = 100.0
"""Frames."""
LAST = 20
"""Voiced frames that make the end of the melody."""
_ALL = ("log_energy", "voicing", "zero_crossings", "flux")
"""Described over all frames, pauses included."""
_SPOKEN = ("centroid", "spread", "roll_off_50", "roll_off_85", "flatness", "flux", "slope_500", "slope_1500",
           "alpha_ratio", "hammarberg", "log_energy", "harmonicity", "cepstral_peak", "zero_crossings")  # fmt: skip
"""Described over frames in which somebody speaks."""
_VOICED = ("f0", "harmonicity", "jitter", "shimmer", "h1_h2", "h1_a3", "alpha_ratio", "hammarberg", "slope_500",
           "slope_1500", "log_energy", "cepstral_peak", "centroid")  # fmt: skip
"""Described over frames with a pitch."""
_AT = {name: column for column, name in enumerate(NAMES)}


def functionals(frames: np.ndarray) -> np.ndarray:
    """float32 (n, ``FEATURES``), n > 0 -> float32 (``len(FUNCTIONALS)``,): finite whatever the frames."""
    return np.fromiter((value for _, value in _named(frames.astype(np.float64))), np.float32)


def _named(frames: np.ndarray) -> Iterator[tuple[str, float]]:
    energy, voiced = frames[:, _AT["log_energy"]], frames[:, _AT["f0"]] > 0.0
    spoken = energy >= np.percentile(energy, 95) - ACTIVE
    columns = {name: frames[:, at] for name, at in _AT.items()}
    cepstra = {f"cepstrum_{i}": of for i, of in enumerate((frames[:, :MELS] @ _cosines()).T, start=1)}
    bands = {f"band_{i}": of for i, of in enumerate(frames[:, :MELS].reshape(len(frames), BANDS, -1).mean(axis=2).T)}
    yield from _group("all", np.ones_like(voiced), {name: columns[name] for name in _ALL})
    yield from _group("spoken", spoken, {name: columns[name] for name in _SPOKEN} | cepstra | bands)
    yield from _group("voiced", voiced, {name: columns[name] for name in _VOICED} | cepstra)
    yield from _rhythm(energy, voiced, spoken)
    yield from _melody(columns["f0"], voiced)


def _cosines() -> np.ndarray:
    """float64 (``MELS``, ``CEPSTRA``): the orthonormal cosine transform of type 2, without its constant row."""
    order = np.arange(1, CEPSTRA + 1)
    return np.cos(np.pi / MELS * (np.arange(MELS)[:, None] + 0.5) * order) * np.sqrt(2.0 / MELS)


def _group(where: str, which: np.ndarray, contours: dict[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    for name, contour in contours.items():
        smooth = _smooth(contour, 3)
        for statistic, value in (*_statistics(smooth[which]), *_changes(_delta(smooth)[which])):
            yield f"{where}_{name}_{statistic}", value


def _smooth(contour: np.ndarray, width: int) -> np.ndarray:
    """Mean of ``width`` (odd) neighbouring frames, as openSMILE's ``sma``."""
    return np.convolve(np.pad(contour, width // 2, mode="edge"), np.full(width, 1.0 / width), mode="valid")


def _delta(contour: np.ndarray) -> np.ndarray:
    """Slope of a straight line through five neighbouring frames (HTK book, eq. 5.16)."""
    far = np.pad(contour, 2, mode="edge")
    return (far[3:-1] - far[1:-3] + 2.0 * (far[4:] - far[:-4])) / 10.0


def _statistics(contour: np.ndarray) -> Iterator[tuple[str, float]]:
    """Of (n,) numbers in their order; all are those of one 0 without any."""
    contour = contour if len(contour) else np.zeros(1)
    percentiles = np.percentile(contour, PERCENTILES)
    mean, deviation = contour.mean(), contour.std()
    standard = (contour - mean) / max(deviation, 1e-6)
    time = np.linspace(-0.5, 0.5, len(contour)) if len(contour) > 1 else np.zeros(1)
    yield "mean", mean
    yield "deviation", deviation
    for percent, value in zip(PERCENTILES, percentiles, strict=True):
        yield f"p{percent}", value
    yield "range", percentiles[-1] - percentiles[0]
    yield "skew", (standard**3).mean()
    yield "log_kurtosis", np.log1p((standard**4).mean())
    yield "slope", float(time @ contour) / max(float(time @ time), 1e-6)


def _changes(delta: np.ndarray) -> Iterator[tuple[str, float]]:
    delta = delta if len(delta) else np.zeros(1)
    yield "change_mean", np.abs(delta).mean()
    yield "change_deviation", delta.std()


def _rhythm(energy: np.ndarray, voiced: np.ndarray, spoken: np.ndarray) -> Iterator[tuple[str, float]]:
    seconds = len(energy) / PER_SECOND
    smooth = _smooth(energy, 5)
    peaks = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:]) & spoken[1:-1]
    yield "log_seconds", np.log(seconds)
    yield "share_spoken", spoken.mean()
    yield "share_voiced", voiced.mean()
    yield "voiced_of_spoken", (voiced & spoken).sum() / spoken.sum()
    yield "loudness_peaks_per_second", peaks.sum() / seconds
    yield "loudness_peaks_per_spoken_second", peaks.sum() / (spoken.sum() / PER_SECOND)
    for name, kind in (("voiced", voiced), ("unvoiced", spoken & ~voiced), ("pause", ~spoken)):
        lengths = _runs(kind) / PER_SECOND
        yield f"{name}_runs_per_second", len(lengths) / seconds
        yield f"{name}_run_mean", lengths.mean() if len(lengths) else 0.0
        yield f"{name}_run_deviation", lengths.std() if len(lengths) else 0.0


def _runs(kind: np.ndarray) -> np.ndarray:
    """bool (n,) -> int (runs,): lengths of the stretches of true."""
    edges = np.diff(np.concatenate([[0], kind.astype(np.int8), [0]]))
    return np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)


def _melody(f0: np.ndarray, voiced: np.ndarray) -> Iterator[tuple[str, float]]:
    both = voiced[1:] & voiced[:-1]
    steps = np.diff(f0)[both]
    for name, some in (("rising", steps[steps > 0.0]), ("falling", -steps[steps < 0.0])):
        yield f"f0_{name}_mean", some.mean() if len(some) else 0.0
        yield f"f0_{name}_deviation", some.std() if len(some) else 0.0
    tail = f0[voiced][-LAST:]
    yield "f0_end_over_mean", tail.mean() - f0[voiced].mean() if len(tail) else 0.0


FUNCTIONALS: tuple[str, ...] = tuple(name for name, _ in _named(np.zeros((1, FEATURES))))
"""Names of the vector's numbers."""

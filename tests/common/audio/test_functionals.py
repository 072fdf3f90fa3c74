"""Statistics of frames whose values are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.fft import dct
from scipy.stats import kurtosis, linregress, skew

from common.audio.frames import FEATURES, MELS, NAMES, speech_frames
from common.audio.functionals import FUNCTIONALS, functionals

N = 120


def column(name: str) -> int:
    return NAMES.index(name)


def spoken_frames(seed: int = 0) -> np.ndarray:
    """float32 (N, FEATURES): all loud, the middle third voiced."""
    frames = np.random.default_rng(seed).normal(size=(N, FEATURES)).astype(np.float32)
    frames[:, column("log_energy")] = np.random.default_rng(seed + 1).uniform(-1.0, 0.0, N)
    frames[:, column("f0")] = 0.0
    frames[40:80, column("f0")] = 20.0 + np.arange(40) * 0.1
    return frames


def told(frames: np.ndarray) -> dict[str, float]:
    return dict(zip(FUNCTIONALS, functionals(frames).tolist(), strict=True))


def smoothed(contour: np.ndarray) -> np.ndarray:
    """Mean of three neighbours, the ends repeated; written as a loop."""
    last = len(contour) - 1
    return np.array([np.mean([contour[min(max(i + d, 0), last)] for d in (-1, 0, 1)]) for i in range(last + 1)])


def test_names_are_unique_and_as_many_as_numbers() -> None:
    assert len(set(FUNCTIONALS)) == len(FUNCTIONALS)
    found = functionals(spoken_frames())
    assert found.shape == (len(FUNCTIONALS),)
    assert found.dtype == np.float32


def test_statistics_are_scipys() -> None:
    frames = spoken_frames()
    contour = smoothed(frames[:, column("centroid")].astype(np.float64))
    found, name = told(frames), "spoken_centroid_"
    line = linregress(np.linspace(-0.5, 0.5, N), contour)
    expected = {
        "mean": contour.mean(),
        "deviation": contour.std(),
        "skew": skew(contour),
        "log_kurtosis": np.log1p(kurtosis(contour, fisher=False)),
        "slope": line.slope,  # pyright: ignore[reportAttributeAccessIssue]
        "range": np.percentile(contour, 95) - np.percentile(contour, 5),
        "p50": np.median(contour),
    }
    for statistic, value in expected.items():
        assert found[name + statistic] == pytest.approx(value, rel=1e-4, abs=1e-5), statistic


def test_changes_are_slopes_through_five_frames() -> None:
    frames = spoken_frames()
    contour = smoothed(frames[:, column("centroid")].astype(np.float64))
    far = np.concatenate([contour[[0, 0]], contour, contour[[-1, -1]]])
    delta = [np.polyfit(range(5), far[i : i + 5], 1)[0] for i in range(N)]
    assert told(frames)["spoken_centroid_change_mean"] == pytest.approx(np.abs(delta).mean(), rel=1e-4)
    assert told(frames)["spoken_centroid_change_deviation"] == pytest.approx(np.std(delta), rel=1e-4)


def test_cepstra_are_scipys() -> None:
    frames = spoken_frames()
    cepstra = np.asarray(dct(frames[:, :MELS].astype(np.float64), type=2, norm="ortho", axis=1))
    found = told(frames)
    for i in (1, 7, 20):
        assert found[f"spoken_cepstrum_{i}_mean"] == pytest.approx(smoothed(cepstra[:, i]).mean(), abs=1e-5)


def test_wide_bands_are_means_of_four() -> None:
    frames = spoken_frames()
    wide = frames[:, 8:12].astype(np.float64).mean(axis=1)
    assert told(frames)["spoken_band_2_mean"] == pytest.approx(smoothed(wide).mean(), abs=1e-6)


def test_only_voiced_frames_count_where_it_says_voiced() -> None:
    frames = spoken_frames()
    other = frames.copy()
    other[:39, column("h1_h2")] += 5.0  # at least two frames away from the voiced ones: smoothing reaches one
    assert told(other)["voiced_h1_h2_mean"] == told(frames)["voiced_h1_h2_mean"]
    other[50, column("h1_h2")] += 5.0
    assert told(other)["voiced_h1_h2_mean"] > told(frames)["voiced_h1_h2_mean"]


def test_only_loud_frames_count_where_it_says_spoken() -> None:
    frames = spoken_frames()
    frames[100:, column("log_energy")] = -9.0
    other = frames.copy()
    other[102:, column("spread")] += 5.0
    assert told(other)["spoken_spread_mean"] == told(frames)["spoken_spread_mean"]


def test_rhythm_by_hand() -> None:
    """1.2 s: 0.4 s voiced, then speech without voice, then a pause of 0.2 s."""
    frames = spoken_frames()
    frames[:, column("f0")] = 0.0
    frames[:40, column("f0")] = 20.0
    frames[100:, column("log_energy")] = -9.0
    found = told(frames)
    assert found["log_seconds"] == pytest.approx(np.log(1.2))
    assert found["share_voiced"] == pytest.approx(1 / 3)
    assert found["share_spoken"] == pytest.approx(100 / 120)
    assert found["voiced_of_spoken"] == pytest.approx(0.4)
    assert found["voiced_run_mean"] == pytest.approx(0.4)
    assert found["unvoiced_run_mean"] == pytest.approx(0.6)
    assert found["pause_run_mean"] == pytest.approx(0.2)
    assert found["pause_runs_per_second"] == pytest.approx(1 / 1.2)


def test_loudness_peaks_are_syllables() -> None:
    frames = spoken_frames()
    frames[:, column("log_energy")] = -1.0 - np.cos(2 * np.pi * np.arange(N) / 30)  # four swells in 1.2 s
    assert told(frames)["loudness_peaks_per_second"] == pytest.approx(4 / 1.2)


def test_melody_by_hand() -> None:
    found = told(spoken_frames())
    assert found["f0_rising_mean"] == pytest.approx(0.1, rel=1e-3)
    assert found["f0_falling_mean"] == 0.0
    assert found["f0_end_over_mean"] == pytest.approx(1.0, rel=1e-3)  # the last 20 of 40 frames, 0.1 each


def test_a_pause_is_no_step_of_the_melody() -> None:
    frames = spoken_frames()
    frames[60, column("f0")] = 0.0
    assert told(frames)["f0_rising_mean"] == pytest.approx(0.1, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 12), st.just(FEATURES)), elements=st.floats(-50, 50, width=32)))
def test_finite_whatever_the_frames(frames: np.ndarray) -> None:
    assert np.isfinite(functionals(frames)).all()


@pytest.mark.parametrize("samples", [np.zeros(1), np.zeros(16_000), np.ones(4_800)])
def test_finite_for_silence(samples: np.ndarray) -> None:
    assert np.isfinite(functionals(speech_frames(samples.astype(np.float32)))).all()

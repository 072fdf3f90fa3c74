"""The speech front end: against a slow implementation written from the definitions, and what must not change it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.audio.frames import FEATURES, FRONT_END, HOP, MELS, NAMES, RATE, WINDOW, speech_frames
from common.audio.mel import filters
from common.errors import Invalid


def vowel(seconds: float = 0.5, hertz: float = 140.0, seed: int = 0) -> np.ndarray:
    """float32 (n,): a buzz of falling harmonics that swells and fades, between two pauses, with a little noise."""
    n = int(seconds * RATE)
    time = np.arange(n) / RATE
    buzz = sum(np.sin(2 * np.pi * k * hertz * time + k) / k for k in range(1, 20))
    noise = np.random.default_rng(seed).normal(size=n)
    return (0.1 * np.sin(np.pi * time / seconds) * buzz + 0.001 * noise).astype(np.float32)


def slow_log_mel(samples: np.ndarray) -> np.ndarray:
    """Bands by the definition: a direct DFT, triangles drawn one by one, loops over frames."""
    x = samples.astype(np.float64)
    starts = range(0, len(x) - 400 + 1, 160)
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)])
    transform = np.exp(-2j * math.pi * np.outer(np.arange(400), np.arange(257)) / 512)
    power = np.array(
        [np.abs((x[s : s + 400] - x[s : s + 400].mean()) * window @ transform) ** 2 for s in starts]
    ) / np.sum(window**2)
    rms = [math.sqrt(np.mean(row[2:])) for row in power]
    level = sum(r * r for r in rms) / sum(rms)

    def mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)  # the other usual way to write it

    step = (mel(7_600) - mel(50)) / 65
    bands = np.zeros((len(power), 64))
    for band in range(64):
        middle = mel(50) + (band + 1) * step
        weights = [max(0.0, 1.0 - abs(mel(k * 31.25) - middle) / step) for k in range(257)]
        bands[:, band] = power @ weights / sum(weights)
    return np.log(bands / level**2 + 1e-6)


def test_bands_are_those_of_a_slow_implementation() -> None:
    samples = vowel()
    np.testing.assert_allclose(speech_frames(samples)[:, :MELS], slow_log_mel(samples), atol=2e-5)


def test_columns_have_their_names_and_order() -> None:
    assert FRONT_END == "speech-frames-1"
    assert len(set(NAMES)) == len(NAMES) == FEATURES == 84
    assert NAMES[:2] == ("mel_00", "mel_01")
    assert NAMES[MELS : MELS + 4] == ("log_energy", "zero_crossings", "f0", "voicing")


def test_every_band_holds_a_bin() -> None:
    assert ((filters() > 0).sum(axis=0) >= 1).all()
    np.testing.assert_allclose(filters().sum(axis=0), 1.0)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 1), (1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (719, 2), (160_000, 998)]
)
def test_number_of_frames(samples: int, frames: int) -> None:
    found = speech_frames(np.random.default_rng(0).normal(size=samples).astype(np.float32))
    assert found.shape == (frames, FEATURES)
    assert found.dtype == np.float32


N = np.arange(8_000)
HARD = {
    "nothing": np.zeros(0),
    "one sample": np.ones(1),
    "silence": np.zeros(8_000),
    "a constant": np.full(8_000, 0.5),
    "a click": np.where(N == 4_000, 1.0, 0.0),
    "clipping": np.sign(np.sin(0.05 * N)),
    "alternating": np.where(N % 2, 1.0, -1.0),
    "rumble": np.sin(2 * np.pi * 10 * N / RATE),
    "least number": np.full(8_000, 1e-45) * (N % 7),
    "greatest numbers": np.where(N % 3, 3e38, -3e38),
    "noise on a constant": 1.0 + 1e-6 * np.random.default_rng(0).normal(size=8_000),
}


@pytest.mark.parametrize("samples", HARD.values(), ids=HARD.keys())
def test_finite(samples: np.ndarray) -> None:
    assert np.isfinite(speech_frames(samples.astype(np.float32))).all()


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.integers(0, 1_500), elements=st.floats(-(2.0**120), 2.0**120, width=32)))
def test_finite_whatever_comes(samples: np.ndarray) -> None:
    assert np.isfinite(speech_frames(samples)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_number_is_refused(bad: float) -> None:
    samples = vowel()
    samples[100] = bad
    with pytest.raises(Invalid, match="samples: are not all finite"):
        speech_frames(samples)


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.01, 1.0), seed=st.integers(0, 5), hertz=st.floats(70.0, 400.0))
def test_the_level_does_not_show(gain: float, seed: int, hertz: float) -> None:
    samples = vowel(hertz=hertz, seed=seed)
    quiet = samples * np.float32(gain)
    np.testing.assert_allclose(speech_frames(quiet), speech_frames(samples), atol=1e-4)


def test_a_constant_added_does_not_show() -> None:
    samples = vowel()
    np.testing.assert_allclose(speech_frames(samples + np.float32(0.25)), speech_frames(samples), atol=5e-3)


def test_silence_is_the_floor() -> None:
    found = speech_frames(np.full(8_000, 0.5, np.float32))
    np.testing.assert_allclose(found[:, :MELS], math.log(1e-6), atol=1e-3)
    assert (found[:, NAMES.index("f0")] == 0).all()


def test_pauses_do_not_move_the_level() -> None:
    samples = vowel(1.0)
    long = np.concatenate([samples, np.zeros(5 * RATE, np.float32)])
    heard = speech_frames(samples)
    np.testing.assert_allclose(speech_frames(long)[:90, :MELS], heard[:90, :MELS], atol=0.02)


def test_frames_lie_where_they_are_said_to() -> None:
    """A burst in samples 8,000 to 8,160 is in the frames that hold one of them."""
    samples = np.zeros(16_000, np.float32)
    samples[8_000:8_160] = np.random.default_rng(0).normal(size=160)
    loud = speech_frames(samples)[:, NAMES.index("log_energy")] > math.log(2e-6)
    holds = [start * HOP < 8_160 and start * HOP + WINDOW > 8_000 for start in range(len(loud))]
    assert loud[50] or loud[49]
    assert not loud[~np.array(holds)].any()


def test_a_recording_of_many_blocks_is_the_sum_of_its_parts() -> None:
    """Frame by frame, away from the ends, a long clip's numbers are those of the same sound further on."""
    period = RATE // 100 * 4  # a pitch of 100 Hz and four hops
    one = vowel(0.04, 100.0)[:period]
    found = speech_frames(np.tile(one, 60))
    np.testing.assert_allclose(found[8:80:4], found[88:160:4], atol=1e-4)


def test_the_same_clip_twice_is_the_same_to_the_bit() -> None:
    samples = vowel(1.0)
    other = speech_frames(vowel(0.7, 220.0))
    first = speech_frames(samples)
    assert not np.array_equal(first[: len(other)], other)
    np.testing.assert_array_equal(speech_frames(samples), first)

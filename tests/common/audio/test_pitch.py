"""Pitch and periodicity: of sounds whose pitch is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.audio.mel import HOP, RATE, WINDOW
from common.audio.pitch import VOICED, Pitch, pitch

SEMITONE = 2 ** (1 / 12)


def harmonics(hertz: np.ndarray, partials: int = 12, tilt: float = 1.0) -> np.ndarray:
    """float64 (n,) of level 1: partials of a pitch in Hz that may move, the k-th of amplitude k^-tilt."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = np.sum(
        [np.sin(k * phase + k * k) / k**tilt * (k * hertz < RATE / 2) for k in range(1, partials + 1)], axis=0
    )
    return wave / np.sqrt(np.mean(wave**2))


def heard(samples: np.ndarray) -> tuple[Pitch, np.ndarray]:
    """The pitch of all frames, and the sample in the middle of each."""
    frames = 1 + (len(samples) - WINDOW) // HOP
    return pitch(samples, frames), np.arange(frames) * HOP + WINDOW // 2


def inner(values: np.ndarray) -> np.ndarray:
    """Without the frames whose span reaches beyond the recording."""
    return values[2:-2]


@settings(max_examples=60, deadline=None)
@given(hertz=st.floats(58.0, 490.0), partials=st.integers(2, 25), tilt=st.floats(0.5, 2.0))
def test_a_steady_tone_has_its_pitch(hertz: float, partials: int, tilt: float) -> None:
    found, _ = heard(harmonics(np.full(8_000, hertz), partials, tilt))
    np.testing.assert_allclose(inner(found.hertz), hertz, rtol=0.01)
    assert (inner(found.voicing) > (0.9 if hertz > 100.0 else 0.75)).all()  # few periods lie under the window


@pytest.mark.parametrize(
    ("start", "end", "seconds"), [(100, 400, 2.0), (300, 90, 1.0), (180, 260, 0.4), (70, 140, 1.0)]
)
def test_a_glide_is_followed(start: float, end: float, seconds: float) -> None:
    n = int(seconds * RATE)
    hertz = start * (end / start) ** (np.arange(n) / n)
    found, middles = heard(harmonics(hertz))
    np.testing.assert_allclose(inner(found.hertz), inner(hertz[middles]), rtol=0.01)


def test_a_melody_that_trembles_is_followed() -> None:
    """Five waves a second, a semitone to either side, as a voice may tremble."""
    n = 2 * RATE
    hertz = 200 * SEMITONE ** np.sin(2 * np.pi * 5 * np.arange(n) / RATE)
    found, middles = heard(harmonics(hertz))
    assert np.abs(inner(found.hertz) / inner(hertz[middles]) - 1).max() < 0.02
    assert np.abs(inner(found.hertz) / inner(hertz[middles]) - 1).mean() < 0.01


def test_a_missing_first_partial_is_heard_from_the_others() -> None:
    hertz = np.full(8_000, 120.0)
    found, _ = heard(harmonics(hertz) - 0.8 * harmonics(hertz, 1))
    np.testing.assert_allclose(inner(found.hertz), 120.0, rtol=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_pitch(seed: int) -> None:
    found, _ = heard(np.random.default_rng(seed).normal(size=32_000))
    assert (found.hertz == 0).mean() > 0.99
    assert np.median(found.voicing) < 0.4


def test_more_noise_is_less_periodic() -> None:
    tone = harmonics(np.full(16_000, 150.0))
    noise = np.random.default_rng(0).normal(size=16_000)
    heights = [inner(heard(tone + share * noise)[0].voicing).mean() for share in (0.0, 0.25, 0.5, 1.0)]
    assert heights == sorted(heights, reverse=True)
    # Boersma 1993, eq. 4: power of the periodic part over all power is the height of the peak. Of white noise up to
    # 8 kHz, 2 kHz count in full and 2 kHz half.
    expected = [1 / (1 + 3 / 8 * share**2) for share in (0.0, 0.25, 0.5, 1.0)]
    np.testing.assert_allclose(heights, expected, atol=0.06)


def test_hum_far_below_the_speech_has_no_pitch() -> None:
    """At -60 dB of the level a perfect tone is a pause."""
    found, _ = heard(1e-3 * harmonics(np.full(8_000, 100.0)))
    assert (found.hertz == 0).all()


def test_voice_starts_and_ends_where_it_does() -> None:
    samples = np.zeros(32_000)
    samples[8_000:24_000] = harmonics(np.full(16_000, 130.0))
    found, middles = heard(samples)
    voiced = found.hertz > 0
    assert voiced[(middles > 8_400) & (middles < 23_600)].all()
    assert not voiced[(middles < 7_600) | (middles > 24_400)].any()


def test_a_pitch_beyond_the_range_is_no_pitch_of_that_height() -> None:
    found, _ = heard(harmonics(np.full(8_000, 700.0)))
    told = inner(found.hertz)
    assert ((told == 0) | ((told >= 54) & (told <= 520))).all()


def test_a_voiced_frame_has_a_pitch_and_others_have_none() -> None:
    rng = np.random.default_rng(3)
    samples = harmonics(np.full(16_000, 180.0)) * (np.arange(16_000) % 4_000 < 2_000) + 0.3 * rng.normal(size=16_000)
    found, _ = heard(samples)
    np.testing.assert_array_equal(found.hertz > 0, found.voicing >= VOICED)
    assert 0.2 < (found.hertz > 0).mean() < 0.8

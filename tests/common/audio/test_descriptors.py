"""Descriptors of sounds for which they can be worked out by hand."""

import math

import numpy as np
import pytest

from common.audio.frames import NAMES, RATE, speech_frames

TIME = np.arange(16_000) / RATE


def heard(samples: np.ndarray, name: str) -> np.ndarray:
    """One column, without the frames at the ends."""
    return speech_frames(samples.astype(np.float32))[3:-3, NAMES.index(name)]


def sine(hertz: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hertz * TIME)


def voice(hertz: np.ndarray | float, tilt: float = 1.0) -> np.ndarray:
    """Partials of a pitch, the k-th of amplitude k^-tilt, all that lie below 4 kHz."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, TIME.shape)) / RATE
    partials = range(1, int(4_000 / np.max(hertz)) + 1)
    return 0.1 * np.sum([np.sin(k * phase + k * k) / k**tilt for k in partials], axis=0)


@pytest.mark.parametrize("hertz", [300.0, 1_000.0, 3_210.0, 6_500.0])
def test_a_sine_is_at_its_frequency(hertz: float) -> None:
    for name in ("centroid", "roll_off_50", "roll_off_85"):
        np.testing.assert_allclose(heard(sine(hertz), name), hertz / 1_000, atol=0.04, err_msg=name)
    assert (heard(sine(hertz), "spread") < 0.1).all()
    np.testing.assert_allclose(heard(sine(hertz), "zero_crossings"), 2 * hertz / RATE, atol=0.004)


def test_white_noise_is_flat() -> None:
    noise = np.random.default_rng(0).normal(size=16_000)
    # the spectrum of a frame of noise is exponentially distributed: E ln = -γ
    np.testing.assert_allclose(heard(noise, "flatness").mean(), -np.euler_gamma, atol=0.05)
    np.testing.assert_allclose(heard(noise, "centroid").mean(), 4.0, atol=0.1)
    np.testing.assert_allclose(heard(noise, "spread").mean(), 8.0 / math.sqrt(12), atol=0.1)
    np.testing.assert_allclose(heard(noise, "zero_crossings").mean(), 0.5, atol=0.02)
    np.testing.assert_allclose(heard(noise, "log_energy").mean(), 0.0, atol=0.02)
    np.testing.assert_allclose(heard(noise, "alpha_ratio").mean(), math.log(31 / 129), atol=0.1)  # bins in each
    assert abs(heard(noise, "slope_1500").mean()) < 0.3
    assert (heard(noise, "f0") == 0).mean() > 0.98


@pytest.mark.parametrize("hertz", [80.0, 110.0, 220.0, 440.0])
def test_pitch_is_in_semitones_above_a(hertz: float) -> None:
    np.testing.assert_allclose(heard(voice(hertz), "f0"), 12 * math.log2(hertz / 27.5), atol=0.1)
    assert (heard(voice(hertz), "voicing") > 0.9).all()


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_harmonics_to_noise_in_bel(noise: float) -> None:
    """Of white noise up to 8 kHz, 3/8 counts (``common.audio.pitch``)."""
    tone = voice(200.0, 2.0)
    mixed = tone / tone.std() + noise * np.random.default_rng(0).normal(size=16_000)
    np.testing.assert_allclose(heard(mixed, "harmonicity").mean(), -math.log10(3 / 8 * noise**2), atol=0.15)


def test_jitter_is_how_much_the_period_changes() -> None:
    steady, rising = heard(voice(150.0), "jitter"), heard(voice(100.0 * 2.0**TIME), "jitter")
    assert (steady < 1e-4).all()
    np.testing.assert_allclose(rising, 2 ** (0.01) - 1, rtol=0.1)  # an octave a second, 10 ms a frame


def test_shimmer_is_how_much_the_loudness_changes() -> None:
    assert (heard(voice(200.0), "shimmer") < 0.01).all()
    fading = voice(200.0) * np.exp(-2.0 * TIME)
    np.testing.assert_allclose(heard(fading, "shimmer"), 0.02, atol=0.01)  # 2 nats a second


@pytest.mark.parametrize("tilt", [0.5, 1.0, 2.0])
def test_first_partial_over_the_second(tilt: float) -> None:
    """Amplitudes 1 and 2^-tilt: the powers' ratio is 2^(2 tilt)."""
    np.testing.assert_allclose(heard(voice(250.0, tilt), "h1_h2"), 2 * tilt * math.log(2), atol=0.3)


def test_a_steeper_voice_leans_more_to_the_low() -> None:
    for name, sign in (("h1_a3", 1), ("alpha_ratio", 1), ("hammarberg", 1), ("slope_1500", -1), ("centroid", -1)):
        means = [sign * heard(voice(150.0, tilt), name).mean() for tilt in (0.5, 1.0, 1.5)]
        assert means == sorted(means), name


def test_hammarberg_compares_the_strongest_of_two_ranges() -> None:
    """Powers 1 at 1 kHz and 0.01 at 3 kHz: a ratio of 100."""
    both = sine(1_000.0) + 0.1 * sine(3_000.0)
    np.testing.assert_allclose(heard(both, "hammarberg"), math.log(100), atol=0.05)
    np.testing.assert_allclose(heard(both, "alpha_ratio")[0], heard(both, "alpha_ratio")[-1], atol=0.05)


def test_slope_of_a_falling_spectrum() -> None:
    """One pole at z = 0.9: power 1 / |1 - 0.9 e^-iw|²; its slope by least squares between 500 and 1,500 Hz."""
    noise = np.random.default_rng(0).normal(size=16_000)
    fallen = np.zeros(16_000)
    for i, x in enumerate(noise):
        fallen[i] = x + 0.9 * fallen[i - 1] if i else x
    hertz = np.arange(500.0, 1_501.0, 31.25)
    power = -np.log(np.abs(1 - 0.9 * np.exp(-2j * np.pi * hertz / RATE)) ** 2)
    expected = np.polyfit(hertz / 1_000, power, 1)[0]
    np.testing.assert_allclose(heard(fallen, "slope_1500").mean(), expected, atol=0.35)


def test_flux_is_where_the_spectrum_changes() -> None:
    sounds = np.where(TIME < 0.5, sine(500.0), sine(2_000.0))
    flux = heard(sounds, "flux")
    assert abs(flux.argmax() - 47) <= 2  # frame 50, three are cut off
    assert flux.max() > 10 * np.median(flux)


def test_flux_sees_no_loudness() -> None:
    swelling = sine(500.0) * np.exp(3 * TIME)
    assert (heard(swelling, "flux") < 0.02).all()


def test_cepstrum_has_a_peak_for_a_voice_and_none_for_noise() -> None:
    noise = np.random.default_rng(0).normal(size=16_000)
    assert np.median(heard(voice(150.0), "cepstral_peak")) > 2 * np.median(heard(noise, "cepstral_peak"))


def test_nothing_voiced_is_told_where_nothing_is_voiced() -> None:
    noise = np.random.default_rng(0).normal(size=16_000)
    unvoiced = heard(noise, "f0") == 0
    for name in ("jitter", "shimmer", "h1_h2", "h1_a3"):
        assert (heard(noise, name)[unvoiced] == 0).all(), name

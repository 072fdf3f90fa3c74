"""From real sound files to samples, cuts and rows; and from logits to probabilities."""

import math
from io import BytesIO

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax as oracle
from scipy.stats import entropy as entropy_oracle

from common.audio.frames import speech_frames
from common.errors import Invalid, Malformed, Rejected, TooLarge, Unsupported
from contracts.media import AudioLimits
from contracts.speech import FRAMES, FRAMES_MASK
from speech.features import Speech, entropy, padded, pieces, segments, softmax, to_speech, warnings

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hertz: float = 300.0, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def file(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    out = BytesIO()
    soundfile.write(out, samples, rate, format=kind, subtype=subtype)
    return out.getvalue()


def strongest(samples: np.ndarray) -> float:
    """Hz"""
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax()) * RATE / len(samples)


def test_a_wav_at_16_khz_is_its_own_samples() -> None:
    samples = tone(1.0)
    speech = to_speech(file(samples, subtype="FLOAT"))
    np.testing.assert_array_equal(speech.samples, samples)
    assert speech.samples.dtype == np.float32
    assert (speech.seconds, speech.clipped) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("rate", "kind", "subtype"),
    [(8_000, "WAV", "ULAW"), (44_100, "WAV", "PCM_16"), (44_100, "FLAC", None), (48_000, "OGG", "OPUS"),
     (44_100, "MP3", None)],
)  # fmt: skip
def test_other_files_are_heard_at_16_khz(rate: int, kind: str, subtype: str | None) -> None:
    """Specification, section 10, check 11: 8 kHz µ-law among them."""
    speech = to_speech(file(tone(1.0, rate), rate, kind, subtype))
    assert speech.seconds == pytest.approx(1.0, abs=0.06)
    assert strongest(speech.samples) == pytest.approx(300.0, abs=3.0)
    assert np.isfinite(speech_frames(speech.samples)).all()


def test_stereo_at_44_1_khz_is_the_mean_of_its_channels() -> None:
    """Specification, section 10, check 11."""
    both = np.stack([tone(1.0, 44_100, 300.0), tone(1.0, 44_100, 900.0, 0.1)], axis=1)
    speech = to_speech(file(both, 44_100))
    alone = to_speech(file(both.mean(axis=1), 44_100))
    np.testing.assert_allclose(speech.samples, alone.samples, atol=1e-4)


def nan_inside() -> np.ndarray:
    samples = tone(1.0)
    samples[500] = np.nan
    return samples


BAD = [
    (file(tone(0.29)), Invalid, "file: lasts 0.29 s, below 0.3 s"),
    (file(np.zeros(RATE, np.float32)), Invalid, "file: is silent"),
    (file(tone(1.0, amplitude=5e-5), subtype="FLOAT"), Invalid, "file: is silent"),
    (file(nan_inside(), subtype="FLOAT"), Invalid, "file: has samples that are no finite numbers"),
    (file(np.random.default_rng(0).uniform(-1, 1, RATE), kind="FLAC")[:9_000], Malformed, "file is broken or cut off"),
    (file(tone(1.0))[:9_000], Malformed, "file is cut off"),
    (b"", Malformed, "file is empty"),
    (b"no sound at all", Unsupported, "file is no sound file"),
    (file(tone(601.0, 4_000), 4_000), TooLarge, "file lasts longer than the 600 s"),
]


@pytest.mark.parametrize(("data", "error", "message"), BAD, ids=[message[:24] for _, _, message in BAD])
def test_bad_files_are_refused(data: bytes, error: type[Rejected], message: str) -> None:
    with pytest.raises(error) as caught:
        to_speech(data)
    assert message in str(caught.value)


def test_a_refusal_names_the_recording() -> None:
    with pytest.raises(Invalid) as caught:
        to_speech(file(tone(0.1)), "second")
    assert [error.field for error in caught.value.errors] == ["second"]


def test_limits_can_be_others() -> None:
    with pytest.raises(TooLarge):
        to_speech(file(tone(2.0)), limits=AudioLimits(seconds=1.0))


def test_the_share_of_clipped_samples() -> None:
    clipped = np.clip(tone(1.0, amplitude=2.0), -1.0, 1.0)
    expected = 1 - 2 * math.asin(0.99 / 2) / math.pi
    assert to_speech(file(clipped)).clipped == pytest.approx(expected, abs=0.01)
    assert to_speech(file(tone(1.0, amplitude=0.9))).clipped == 0.0


def test_clipping_is_seen_at_another_rate() -> None:
    clipped = np.clip(tone(1.0, 44_100, amplitude=3.0), -1.0, 1.0)
    assert to_speech(file(clipped, 44_100)).clipped > 0.5


def heard(samples: np.ndarray) -> tuple[str, ...]:
    return warnings(to_speech(file(samples, subtype="FLOAT")))


def test_a_good_recording_has_no_warning() -> None:
    assert heard(np.concatenate([tone(1.5), 1e-3 * tone(2.0)])) == ()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (tone(0.99), "0.99 s is short"),
        (np.clip(tone(2.0, amplitude=3.0), -1.0, 1.0), "of the samples are clipped"),
        (np.concatenate([tone(0.5), np.zeros(3 * RATE, np.float32)]), "only 14% of the recording is not pause"),
        (np.concatenate([tone(0.1), 1e-3 * tone(8.0)]), "only 1% of the recording is not pause"),
    ],
)
def test_what_makes_an_answer_unsure_is_told(samples: np.ndarray, message: str) -> None:
    (told,) = heard(samples.astype(np.float32))
    assert message in told


def test_all_warnings_come_at_once() -> None:
    samples = np.zeros(8_000, np.float32)
    samples[3_000:4_000] = 1.0
    samples[3_500:4_000] = -1.0
    assert len(heard(samples)) == 3


@pytest.mark.parametrize("samples", [np.zeros(1), np.ones(1), np.zeros(399), np.full(8_000, 0.2)])
def test_warnings_of_any_samples(samples: np.ndarray) -> None:
    assert all(isinstance(told, str) for told in warnings(Speech(samples.astype(np.float32), len(samples) / RATE, 0.0)))


@given(n=st.integers(1, 200_000), longest=st.floats(0.5, 30.0))
def test_pieces_are_the_fewest_and_equal(n: int, longest: float) -> None:
    samples = np.arange(n, dtype=np.float32)
    cut = pieces(samples, longest)
    lengths = [len(piece) for piece in cut]
    np.testing.assert_array_equal(np.concatenate(cut), samples)
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= longest * RATE
    assert (len(cut) - 1) * int(longest * RATE) < n


def test_segments_by_hand() -> None:
    assert segments(10 * RATE, 3.0, 1.5) == [
        (int(s * RATE), int((s + 3.0) * RATE)) for s in (0.0, 1.5, 3.0, 4.5, 6.0, 7.0)
    ]
    assert segments(6 * RATE, 3.0, 1.5) == [(int(s * RATE), int((s + 3.0) * RATE)) for s in (0.0, 1.5, 3.0)]
    assert segments(4_800, 3.0, 1.5) == [(0, 4_800)]
    assert segments(48_000, 3.0, 1.5) == [(0, 48_000)]
    assert segments(48_001, 3.0, 1.5) == [(0, 48_000), (1, 48_001)]


@given(n=st.integers(4_800, 1_000_000), window=st.floats(0.5, 30.0), hop=st.floats(0.1, 30.0))
def test_segments_are_whole_windows_that_reach_the_end(n: int, window: float, hop: float) -> None:
    found = segments(n, window, hop)
    starts = [start for start, _ in found]
    assert found[0][0] == 0
    assert found[-1][1] == n
    assert {end - start for start, end in found} == {min(n, round(window * RATE))}
    steps = np.diff(starts)
    assert (steps[:-1] == round(hop * RATE)).all()
    assert ((steps > 0) & (steps <= round(hop * RATE))).all()


def test_padded_rows_are_their_frames_and_nothing_else() -> None:
    rows = [np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32) for n in (3, 7, 1)]
    found = padded(rows)
    assert found[FRAMES].shape == (3, 7, 5)
    assert found[FRAMES].dtype == np.float32
    assert found[FRAMES_MASK].dtype == np.bool_
    assert found[FRAMES_MASK].sum(axis=1).tolist() == [3, 7, 1]
    for row, frames, mask in zip(rows, found[FRAMES], found[FRAMES_MASK], strict=True):
        np.testing.assert_array_equal(frames[mask], row)
        assert mask[: len(row)].all()
        assert not frames[~mask].any()


def test_softmax_is_scipys() -> None:
    logits = np.random.default_rng(0).normal(scale=5, size=(20, 7)).astype(np.float32)
    np.testing.assert_allclose(softmax(logits), oracle(logits.astype(np.float64), axis=1), rtol=1e-12)
    np.testing.assert_allclose(softmax(logits, 2.5), oracle(logits.astype(np.float64) / 2.5, axis=1), rtol=1e-12)


@pytest.mark.parametrize("size", [1e3, 1e30, -1e30])
def test_softmax_of_great_logits(size: float) -> None:
    """Specification, section 4, defect 9: softmax without subtracting the greatest."""
    np.testing.assert_allclose(softmax(np.full((2, 4), size, np.float32)), 0.25)
    np.testing.assert_array_equal(softmax(np.array([abs(size), 0.0, 0.0], np.float32)), [1.0, 0.0, 0.0])


def test_entropy_is_scipys() -> None:
    p = np.random.default_rng(0).dirichlet(np.full(7, 0.3), 50)
    np.testing.assert_allclose(entropy(p), entropy_oracle(p, axis=1), atol=1e-12)


def test_entropy_from_certain_to_even() -> None:
    assert entropy(np.array([0.0, 1.0, 0.0])) == 0.0
    assert entropy(np.array([1.0 + 1e-16, 0.0])) == 0.0
    assert entropy(np.full(7, 1 / 7)) == pytest.approx(math.log(7))

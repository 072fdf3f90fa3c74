"""Sound files of every taken kind become the numbers they hold, or a clear refusal."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from common.audio import decode, decode_at
from common.errors import Invalid, KitharaError, Malformed, TooLarge, Unsupported
from contracts.media import AudioLimits

KINDS = [
    ("WAV", "PCM_16", 44_100),
    ("WAV", "ULAW", 8_000),
    ("WAV", "FLOAT", 22_050),
    ("FLAC", "PCM_24", 44_100),
    ("MP3", None, 44_100),
    ("OGG", "VORBIS", 44_100),
    ("OGG", "OPUS", 48_000),
]
kinds = pytest.mark.parametrize(("kind", "subtype", "rate"), KINDS, ids=[f"{k}-{s}" for k, s, _ in KINDS])


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    """float32 (n,) or (n, channels): a sine of amplitude 0.5, the same in every channel."""
    wave = (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
    return wave if channels == 1 else np.repeat(wave[:, None], channels, axis=1)


def noise(rate: int, seconds: float = 1.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    """float32 (n,) or (n, channels): white noise, every channel its own."""
    shape = (round(rate * seconds), channels)
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)
    return wave[:, 0] if channels == 1 else wave


def encoded(wave: np.ndarray, rate: int, kind: str, subtype: str | None = None, **options: object) -> bytes:
    """The bytes of a file of this format."""
    out = BytesIO()
    soundfile.write(out, wave, rate, format=kind, subtype=subtype, **options)  # pyright: ignore[reportArgumentType]
    return out.getvalue()


def hertz(samples: np.ndarray, rate: int) -> float:
    """The strongest frequency."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(power)) * rate / len(samples)


def test_16_bit_wav_is_its_integers_over_32768() -> None:
    pcm = np.arange(-(2**15), 2**15).astype(np.int16)
    np.testing.assert_array_equal(decode_at(encoded(pcm, 16_000, "WAV", "PCM_16"), 16_000), pcm / np.float32(32768))


def test_24_bit_flac_keeps_every_bit() -> None:
    pcm = np.random.default_rng(1).integers(-(2**23), 2**23, 48_000).astype(np.int32)
    samples, rate = decode(encoded(pcm << 8, 96_000, "FLAC", "PCM_24"))
    assert rate == 96_000
    np.testing.assert_array_equal(samples, (pcm / 2**23).astype(np.float32))


@kinds
def test_every_kind_keeps_its_length_and_its_pitch(kind: str, subtype: str | None, rate: int) -> None:
    data = encoded(tone(rate, 2.0, 440.0, channels=2), rate, kind, subtype)
    samples, own = decode(data)
    assert (own, samples.dtype, samples.shape) == (rate, np.float32, (2 * rate,))
    assert hertz(samples, rate) == pytest.approx(440.0, abs=0.5)
    assert samples.std() == pytest.approx(np.sqrt(1 / 8), rel=0.02)
    at = decode_at(data, 16_000)
    assert at.shape == (32_000,)
    assert hertz(at, 16_000) == pytest.approx(440.0, abs=0.5)


def test_channels_are_averaged() -> None:
    wave = noise(22_050, channels=8)
    samples, _ = decode(encoded(wave, 22_050, "WAV", "FLOAT"))
    np.testing.assert_allclose(samples, wave.astype(np.float64).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("wanted", [16_000, 22_050])
def test_in_blocks_is_what_soxr_makes_of_the_whole(rate: int, wanted: int) -> None:
    wave = noise(rate, 1.37)
    got = decode_at(encoded(wave, rate, "WAV", "FLOAT"), wanted)
    np.testing.assert_array_equal(got, soxr.resample(wave, rate, wanted, quality="HQ"))
    assert len(got) == pytest.approx(1.37 * wanted, abs=1)


def test_what_the_new_rate_cannot_hold_is_removed_not_folded() -> None:
    data = encoded(tone(48_000, hertz=1_000) + tone(48_000, hertz=11_000) * np.float32(0.9), 48_000, "WAV", "FLOAT")
    spectrum = np.abs(np.fft.rfft(decode_at(data, 16_000) * np.hanning(16_000)))
    assert np.argmax(spectrum) == 1_000
    assert spectrum[4_900:5_100].max() < 1e-4 * spectrum[1_000]  # 16,000 - 11,000 Hz


def test_a_flac_that_states_no_length_is_read_to_its_end() -> None:
    wave = noise(16_000, 3.0)
    whole, streamed = encoded(wave, 16_000, "FLAC"), without_length(encoded(wave, 16_000, "FLAC"))
    np.testing.assert_array_equal(decode(streamed).samples, decode(whole).samples)


def test_a_wav_of_a_writer_that_could_not_go_back_is_read_to_its_end() -> None:
    data = bytearray(encoded(noise(16_000), 16_000, "WAV"))
    at = data.find(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff\xff\xff\xff"
    assert len(decode(bytes(data)).samples) == 16_000


def test_threads_do_not_disturb_each_other() -> None:
    files = [encoded(noise(r, seed=i), r, k, s) for i, (k, s, r) in enumerate(KINDS)]
    alone = [decode_at(data, 16_000) for data in files]
    with ThreadPoolExecutor(8) as pool:
        for got, want in zip(pool.map(lambda data: decode_at(data, 16_000), files * 8), alone * 8, strict=True):
            np.testing.assert_array_equal(got, want)


@kinds
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_that_was_cut_off_is_malformed(kind: str, subtype: str | None, rate: int, share: float) -> None:
    data = encoded(noise(rate, 3.0), rate, kind, subtype)
    with pytest.raises(Malformed, match="send the whole file"):
        decode(data[: int(len(data) * share)])


def test_a_flac_cut_between_two_of_its_frames_is_malformed() -> None:
    data = encoded(noise(16_000, 3.0), 16_000, "FLAC")
    frames = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xf8"]
    with pytest.raises(Malformed, match=r"ends after .* of 3\.0 s"):
        decode(data[: frames[5]])


def test_an_mp3_whose_length_can_only_be_guessed_is_never_shortened_silently() -> None:
    """The codec's guess from the first frame stops a file of variable bit rate at a third of it."""
    data = encoded(noise(44_100, 3.0), 44_100, "MP3", bitrate_mode="VARIABLE", compression_level=0.3)
    assert len(decode(data).samples) == 3 * 44_100
    assert data.find(b"Xing") < 40
    with pytest.raises(Malformed, match="convert it to FLAC or WAV"):
        decode(data[data.index(data[:2], 4) :])


@pytest.mark.parametrize(
    "data",
    [b"RIFF\0\0\0\0WAVE", b"fLaC" + bytes(60), b"\xff\xfb\x90\xc4", b"OggS", b"OggS\0\2"],
    ids=["wav", "flac", "mp3", "ogg", "ogg-page"],
)
def test_a_signature_without_a_file_is_refused(data: bytes) -> None:
    with pytest.raises((Malformed, Unsupported), match=r"cut off|cannot be read"):
        decode(data)


@given(st.sampled_from([b"RIFF\xff\0\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"\xff\xfb", b"ID3"]), st.binary())
def test_noise_behind_a_signature_is_refused_never_a_crash(magic: bytes, rest: bytes) -> None:
    with pytest.raises((Malformed, Unsupported, Invalid)):
        decode(magic + rest)


@given(st.sampled_from(range(len(KINDS))), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=8))
def test_a_damaged_file_is_read_or_refused_never_a_crash(which: int, damage: list[tuple[int, int]]) -> None:
    data = bytearray(SHORT[which])
    for at, value in damage:
        data[at % min(len(data), 400)] = value
    try:
        samples = decode_at(bytes(data), 16_000, AudioLimits(seconds=5.0))
    except KitharaError as error:
        assert error.status in (400, 413, 415, 422)  # noqa: PT017
    else:
        assert np.isfinite(samples).all()
        assert len(samples) <= 5 * 16_000 + 1


@pytest.mark.parametrize("kind", ["AIFF", "AU", "CAF", "W64"])
def test_other_formats_are_unsupported_and_the_taken_ones_named(kind: str) -> None:
    with pytest.raises(Unsupported, match="convert it to WAV, FLAC, MP3, or Ogg with Vorbis or Opus"):
        decode(encoded(tone(16_000), 16_000, kind))


def test_a_foreign_file_behind_a_tag_does_not_reach_its_decoder() -> None:
    tag = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)
    with pytest.raises(Unsupported, match="convert it to"):
        decode(tag + encoded(tone(16_000), 16_000, "AU"))


def test_empty_and_oversized_files() -> None:
    with pytest.raises(Malformed, match=r"reel\.flac is empty; send"):
        decode(b"", name="reel.flac")
    with pytest.raises(TooLarge, match="at most 1000 are taken"):
        decode(encoded(tone(16_000), 16_000, "WAV"), AudioLimits(bytes=1000))


def test_a_small_file_that_states_hours_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encoded(np.zeros(16_000 * 3_600, np.int16), 16_000, "FLAC")
    assert len(bomb) < 400_000
    monkeypatch.setattr(soundfile.SoundFile, "read", None)  # nothing is decoded
    with pytest.raises(TooLarge, match="longer than the 900 s"):
        decode_at(bomb, 16_000)


def test_one_that_hides_its_hours_is_refused_as_soon_as_the_limit_is_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = without_length(encoded(np.zeros(16_000 * 600, np.int16), 16_000, "FLAC"))
    frames, read = [], soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, *args: Any, **options: Any) -> np.ndarray:
        frames.append(len(block := read(self, *args, **options)))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    with pytest.raises(TooLarge, match="longer than the 10 s"):
        decode_at(bomb, 16_000, AudioLimits(seconds=10.0))
    assert sum(frames) <= 10 * 16_000 + max(frames)


def test_the_limit_in_seconds_is_still_taken() -> None:
    assert len(decode(encoded(tone(16_000, 2.0), 16_000, "WAV"), AudioLimits(seconds=2.0)).samples) == 32_000


@pytest.mark.parametrize("rate", [3_999, 192_001])
def test_a_rate_outside_the_limits_is_unsupported(rate: int) -> None:
    with pytest.raises(Unsupported, match=f"{rate} samples per second; resample it: 4000 to 192000"):
        decode(encoded(tone(rate), rate, "WAV"))


def test_nine_channels_are_unsupported() -> None:
    with pytest.raises(Unsupported, match="9 channels, at most 8 are taken; mix it down"):
        decode(encoded(tone(16_000, channels=9), 16_000, "WAV"))


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.249])
def test_too_short_a_clip_is_invalid(seconds: float) -> None:
    with pytest.raises(Invalid, match=r"clips\.a: lasts .* s, below 0\.25 s") as caught:
        decode_at(encoded(tone(16_000, seconds), 16_000, "WAV"), 22_050, name="clips.a")
    assert [e.field for e in caught.value.errors] == ["clips.a"]


@pytest.mark.parametrize("peak", [0.0, 1e-4])
def test_silence_is_invalid(peak: float) -> None:
    with pytest.raises(Invalid, match="is silent; send a clip in which something sounds"):
        decode(encoded(np.full(16_000, peak, np.float32), 16_000, "WAV", "FLOAT"))


def test_the_faintest_sound_and_opposite_channels() -> None:
    assert decode(encoded(np.full(16_000, -1.01e-4, np.float32), 16_000, "WAV", "FLOAT")).samples.min() < -1e-4
    wave = tone(16_000, channels=2)
    wave[:, 1] *= -1
    with pytest.raises(Invalid, match="silent"):
        decode(encoded(wave, 16_000, "WAV", "FLOAT"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 700, -1])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_no_finite_number_is_invalid(value: float, at: int, channels: int) -> None:
    wave = tone(44_100, channels=channels)
    wave[at] = value
    data = encoded(wave, 44_100, "WAV", "FLOAT")
    for refused in (lambda: decode(data), lambda: decode_at(data, 16_000)):
        with pytest.raises(Invalid, match="no finite numbers; export the clip again"):
            refused()


def without_length(flac: bytes) -> bytes:
    """As a writer leaves it that cannot go back: the 36 bits of the total number of samples are zero."""
    data = bytearray(flac)
    data[8 + 13] &= 0xF0
    data[8 + 14 : 8 + 18] = bytes(4)
    return bytes(data)


SHORT = [encoded(noise(rate, 0.5), rate, kind, subtype) for kind, subtype, rate in KINDS]

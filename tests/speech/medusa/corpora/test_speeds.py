"""Training clips at other speeds."""

import io

import numpy as np
import pytest
import soundfile

from common.audio import decode_at
from contracts.models import DataSource
from speech.medusa.corpora.corpus import NOT_JUDGED, SPLITS, Corpus, Utterance
from speech.medusa.corpora.speeds import at_speeds, played

HERTZ = 440.0


def tone(rate: int = 16_000, seconds: float = 1.0) -> bytes:
    file, t = io.BytesIO(), np.arange(int(rate * seconds)) / rate
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * HERTZ * t), rate, format="WAV")
    return file.getvalue()


def corpus() -> Corpus:
    utterances = tuple(
        Utterance(f"u-{split}", split, split, "so", np.array([0.2, 0.8], np.float32), NOT_JUDGED, True, tone)
        for split in SPLITS
    )
    source = DataSource(name="tones", licence="none", sha256="0" * 64, items=3)
    return Corpus("tones", ("a", "b"), False, True, utterances, (), source, "open")


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_pitch_and_tempo_move_together(speed: float, rate: int) -> None:
    samples = decode_at(played(tone(rate), speed), 16_000)
    assert len(samples) == pytest.approx(16_000 / speed, abs=2)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * 16_000 / len(samples) == pytest.approx(HERTZ * speed, abs=2.0)


def test_only_training_clips_are_copied_and_keep_all_but_their_sound() -> None:
    before = corpus()
    after = at_speeds(before, (0.9, 1.1))
    assert [u.id for u in after.utterances] == ["u-train", "u-train@0.9", "u-train@1.1", "u-dev", "u-test"]
    first, slow, fast, *rest = after.utterances
    assert (first, *rest) == before.utterances
    for copy, speed in ((slow, 0.9), (fast, 1.1)):
        assert copy._replace(id=first.id, audio=first.audio) == first
        assert copy.audio() == played(tone(), speed)
    assert after.source == before.source


def test_no_speed_changes_nothing() -> None:
    before = corpus()
    assert at_speeds(before, ()).utterances == before.utterances

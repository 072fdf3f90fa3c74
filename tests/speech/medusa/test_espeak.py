"""The speech program: what is said, how, and what is told when it is not there."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.audio import decode_at
from common.audio.frames import NAMES, speech_frames
from common.errors import OperatorError
from contracts.speech import SAMPLE_RATE
from speech.medusa import espeak
from speech.medusa.espeak import PROGRAM, Manner, spoken, version

needs_program = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed: install the Debian package {PROGRAM}"
)
PLAIN = Manner(50, 100, 170, 100)
SENTENCE = "They told me about the letter in the kitchen."


@pytest.fixture(autouse=True)
def forgotten() -> None:
    version.cache_clear()


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Another program of this name."""
    program = folder / PROGRAM
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.defpath}")


def semitones(sound: bytes) -> np.ndarray:
    f0 = speech_frames(decode_at(sound, SAMPLE_RATE))[:, NAMES.index("f0")]
    return f0[f0 > 0]


@needs_program
def test_it_speaks() -> None:
    sound = decode_at(spoken(SENTENCE, "en-us+m3", PLAIN), SAMPLE_RATE)
    assert 1.0 < len(sound) / SAMPLE_RATE < 6.0
    assert np.abs(sound).max() > 0.05


@needs_program
def test_each_part_of_the_manner_is_heard() -> None:
    def said(**change: float) -> bytes:
        return spoken(SENTENCE, "en-us+m3", PLAIN._replace(**change))

    assert np.median(semitones(said(pitch=80))) > np.median(semitones(said(pitch=20))) + 3
    lively, flat = (
        np.percentile(semitones(said(range=r)), 80) - np.percentile(semitones(said(range=r)), 20) for r in (190, 10)
    )
    assert lively > 1.5 * flat
    assert len(said(speed=250)) < 0.75 * len(said(speed=130))
    loud, soft = (np.abs(decode_at(said(amplitude=a), SAMPLE_RATE)).max() for a in (120, 40))
    assert loud > 2 * soft


@needs_program
def test_signs_of_the_markup_are_spoken_and_not_obeyed() -> None:
    plain = len(spoken("one two", "en-us+m3", PLAIN))
    assert len(spoken('one <break time="9s"/> & two', "en-us+m3", PLAIN)) > plain
    assert len(spoken("one </prosody></speak> two", "en-us+m3", PLAIN)) > plain


@needs_program
def test_an_unknown_voice_is_told() -> None:
    with pytest.raises(OperatorError, match="voice"):
        spoken(SENTENCE, "xx-nowhere", PLAIN)


def test_manners_stay_within_what_the_program_takes() -> None:
    assert Manner(-5.0, 300.0, 20.0, 500.0).within() == Manner(0, 200, 80, 200)
    assert Manner(49.6, 99.5, 170.4, 100.0).within() == Manner(50, 100, 170, 100)


def test_a_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="install the Debian package espeak-ng"):
        version()
    with pytest.raises(OperatorError, match="install the Debian package espeak-ng"):
        spoken(SENTENCE, "en-us+m3", PLAIN)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo something else", "which is no version"),
        ("echo broken voice data >&2; exit 3", "status 3: broken voice data"),
    ],
)
def test_a_failing_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str) -> None:
    pretend(tmp_path, monkeypatch, script)
    with pytest.raises(OperatorError, match=message):
        version()


def test_a_silent_program_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, "exit 0")
    with pytest.raises(OperatorError, match="said nothing in the voice 'en-us"):
        spoken(SENTENCE, "en-us+m3", PLAIN)


def test_a_program_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, "exec sleep 30")
    monkeypatch.setattr(espeak, "PATIENCE", 0.2)
    with pytest.raises(OperatorError, match=r"did not end within 0\.2 s"):
        version()

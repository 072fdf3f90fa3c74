"""FluidSynth as it is, as it fails, and where it is missing."""

import os
import stat
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from common.errors import OperatorError
from music_fewshot.render import corpus, midi, synth
from music_fewshot.render.arrange import Sounding


def spectrum(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power, and frequency in Hz."""
    return np.abs(np.fft.rfft(sound)) ** 2, np.fft.rfftfreq(len(sound), 1 / corpus.SAMPLE_RATE)


def centroid(sound: np.ndarray) -> float:
    power, frequency = spectrum(sound)
    return float((power * frequency).sum() / power.sum())


def test_instruments_sound_as_bright_as_they_are(synthesiser, scale):
    names = ("tuba", "flute", "violin", "bagpipe")
    tuba, flute, violin, bagpipe = map(centroid, corpus._play(synthesiser, [scale(name) for name in names], 4.0))
    assert tuba < 400 < 0.8 * flute
    assert 1.1 * flute < violin < 0.9 * bagpipe


def test_pitch_and_time_are_those_of_the_score(synthesiser, scale):
    """Thirty clips on, too: nothing drifts."""
    clips = [scale("marimba", pitches=(69,) * 8)] * 30
    for sound in (corpus._play(synthesiser, clips, 4.0)[i] for i in (0, 29)):
        power, frequency = spectrum(sound)
        assert frequency[power.argmax()] == pytest.approx(440, rel=0.01)
        loud = np.abs(sound).reshape(-1, 80).max(axis=1)  # every 5 ms
        starts = [i for i, (a, b) in enumerate(pairwise([0.0, *loud])) if b > 0.4 * loud.max() and a < 0.5 * b]
        assert [i * 0.005 for i in starts] == pytest.approx([0.5 * i for i in range(8)], abs=0.015)


def test_nothing_of_a_clip_is_heard_after_it(synthesiser, scale):
    long = scale("harp")._replace(notes=tuple(Sounding(0.0, 2.0, 0, pitch, 127) for pitch in (48, 60, 67)))
    quiet = scale("flute", velocity=1)._replace(notes=())
    sound = synth.play(synthesiser, midi.midi([long, quiet], 2.0), 4 + midi.GAP)
    assert np.abs(sound[: 2 * synth.RATE]).max() > 0.01
    assert not sound[round(2.01 * synth.RATE) :].any()


@pytest.fixture
def fake(tmp_path):
    """``fake("exit 1")``: a synthesiser whose program is this shell script."""

    def write(script: str) -> synth.Synthesiser:
        program = tmp_path / "fluidsynth"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return synth.Synthesiser(str(program), "0", Path("none.sf2"), "0" * 64)

    return write


def test_runaway_output_is_cut_off(fake):
    with pytest.raises(synth.Failed, match="wrote more than 12 s"):
        synth.play(fake("exec cat /dev/zero"), b"", 2.0)


def test_a_process_that_hangs_is_ended(fake, monkeypatch):
    monkeypatch.setattr(synth, "PATIENCE", -1.8)
    with pytest.raises(synth.Failed, match="did not end within"):
        synth.play(fake("exec sleep 600"), b"", 2.0)


def test_an_early_end_says_what_fluidsynth_said(fake):
    with pytest.raises(synth.Failed, match=r"0\.0 of 2\.0 s .*no such thing"):
        synth.play(fake("echo no such thing >&2; exit 3"), b"", 2.0)


def test_the_clip_that_fails_is_named(fake, scale):
    """Forty play together; the one with a tuba spoils them."""
    tuba = r"case $(od -An -v -tx1 $last | tr -d ' \n') in *c03a*) exit 1;; esac"
    script = f"for last; do :; done\n{tuba}\nhead -c $(expr {synth.RATE} \\* 8 \\* 12) /dev/zero | tr '\\0' '>'"
    clips = [scale(name) for name in ("violin", "tuba", "flute")]
    with pytest.raises(OperatorError, match=r"clip tuba .*ended after"):
        list(corpus.played(fake(script), clips, 2.0))


def test_silence_is_named(fake, scale):
    silent = fake(f"head -c $(expr {synth.RATE} \\* 8 \\* 5) /dev/zero")
    with pytest.raises(OperatorError, match=r"clip violin .*is silent"):
        list(corpus.played(silent, [scale("violin")], 2.0))


def test_without_fluidsynth_the_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match=r"fluidsynth and fluid-soundfont-gm .*timgm6mb-soundfont"):
        synth.find()


def test_without_a_font_the_packages_are_named(monkeypatch, tmp_path, fake):
    monkeypatch.setenv("PATH", f"{Path(fake('exit 0').program).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(synth, "FONT_FOLDERS", (str(tmp_path),))
    with pytest.raises(OperatorError, match=r"fluid-soundfont-gm .*--font FILE"):
        synth.find()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt ", None])
def test_a_file_that_is_no_font_is_refused(synthesiser, tmp_path, content):
    font = tmp_path / "x.sf2"
    if content is not None:
        font.write_bytes(content)
    with pytest.raises(OperatorError, match=r"x\.sf2"):
        synth.find(font)

"""What the machine must have to play, and one small corpus played once."""

from pathlib import Path

import pytest

from common.errors import OperatorError
from music_fewshot.render import corpus, presets, synth
from music_fewshot.render.arrange import Clip, Sounding
from music_fewshot.render.made import make
from music_fewshot.render.manifest import Manifest
from music_fewshot.render.tags import INSTRUMENTS


@pytest.fixture(scope="session")
def synthesiser() -> synth.Synthesiser:
    try:
        return synth.find()
    except OperatorError as error:
        pytest.skip(str(error.detail))


@pytest.fixture(scope="session")
def small(synthesiser: synth.Synthesiser, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """The preset ``small``, and what was answered. Its parent is a folder of data sets."""
    pytest.importorskip("music21", reason="needs music21: pip install 'kithara[render]'")
    out = tmp_path_factory.mktemp("data") / "rendered_music"
    return out, corpus.make("small", presets.PRESETS["small"], 5, synthesiser, out, lambda *_: None)


@pytest.fixture
def scale():
    """``scale("tuba")``: a clip of eight notes, half a second apart, on one instrument."""

    def play(name: str, *, pitches: tuple[int, ...] = (), velocity: int = 100) -> Clip:
        one = INSTRUMENTS[name]
        pitches = pitches or tuple(one.centre + step for step in (0, 2, 4, 5, 7, 5, 4, 2))
        notes = tuple(Sounding(0.5 * i, 0.5 * i + 0.4, 0, pitch, velocity) for i, pitch in enumerate(pitches))
        return Clip(name, make("made dorian", 0, 0), (name,), {0: one.program}, notes, 120)

    return play

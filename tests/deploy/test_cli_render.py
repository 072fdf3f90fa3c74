"""``kithara data render-music``."""

import json
from pathlib import Path

import pytest

from common.errors import OperatorError
from music_fewshot.render import scores, synth

QUICK = ("data", "render-music", "--preset", "small", "--clips", "20", "--seconds", "2")


@pytest.fixture
def playable() -> None:
    pytest.importorskip("music21", reason="needs music21: pip install 'kithara[render]'")
    try:
        synth.find()
    except OperatorError as error:
        pytest.skip(str(error.detail))


@pytest.mark.usefixtures("playable")
def test_the_answer_tells_what_was_written_and_data_check_accepts_it(kithara, tmp_path):
    out = tmp_path / "data" / "rendered_music"
    ran = kithara(*QUICK, "--out", str(out), "--json")
    assert ran.status == 0, ran.err
    told = json.loads(ran.out)
    assert sum(told["clips"].values()) == 20
    assert told["bytes"] == sum(path.stat().st_size for path in out.iterdir())
    assert "20 of 20 clips" in ran.err
    checked = json.loads(kithara("data", "check", "--data", str(out.parent), "--json").out)
    assert checked["sets"] == [{"name": "rendered_music", "files": 7, "ok": True, "wrong": []}]


def refused(kithara, *argv: str) -> str:
    ran = kithara(*QUICK[:4], *argv)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    return ran.err


def test_a_folder_with_something_in_it_is_left_alone(kithara, tmp_path):
    (tmp_path / "mine").write_text("mine")
    assert "something in it" in refused(kithara, "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("flags", [("--clips", "19"), ("--clips", "1000000"), ("--seconds", "0"), ("--seconds", "nan")])
def test_numbers_out_of_bounds(kithara, tmp_path, flags):
    assert flags[0] in refused(kithara, "--out", str(tmp_path / "x"), *flags)


@pytest.mark.usefixtures("playable")
def test_a_font_that_is_none(kithara, tmp_path):
    assert "--font" in refused(kithara, "--out", str(tmp_path / "x"), "--font", __file__)
    assert list(tmp_path.iterdir()) == []


def test_without_fluidsynth_the_packages_are_named(kithara, tmp_path, monkeypatch):
    pytest.importorskip("music21", reason="needs music21: pip install 'kithara[render]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = refused(kithara, "--out", str(tmp_path / "x"))
    assert "fluidsynth" in said
    assert "fluid-soundfont-gm" in said


def test_without_music21_the_extra_is_named(kithara, tmp_path, monkeypatch):
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda _: None)
    assert "pip install 'kithara[render]'" in refused(kithara, "--out", str(tmp_path / "x"))


def test_help_names_the_presets(kithara, capfd):
    assert kithara("data", "--help").status == 0
    assert "data render-music" in kithara("data", "--help").out


@pytest.mark.usefixtures("playable")
def test_out_that_cannot_be_written(kithara, tmp_path):
    (tmp_path / "file").write_text("")
    assert "--out" in refused(kithara, "--out", str(Path(tmp_path / "file" / "x")), "--clips", "20", "--seconds", "2")

"""Openly licensed speech for pre-training."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import OperatorError
from speech.medusa.corpora.unlabelled import PARTS, unlabelled

DATA = Path(os.environ.get("KITHARA_DATA", "nowhere"))


def row(name: str, text: str = "") -> dict[str, str]:
    return {"id": name, "file": f"{name}.opus", "speaker": name[0], "text": text}


@pytest.fixture
def folder(written: Callable[..., Path]) -> Path:
    splits = {"train_clean": [row("a1", "so it is"), row("b1")], "unlabelled_clean": [row("c1")]}
    return written({**splits, "test_clean": [row("d1")]}, "librispeech_mini")


def test_only_splits_for_training_are_read_and_nothing_is_a_class(folder: Path) -> None:
    corpus = unlabelled("librispeech_mini", folder)
    assert [(u.id, u.split, u.text) for u in corpus.utterances] == [
        ("a1", "train", "so it is"),
        ("b1", "train", None),
        ("c1", "train", None),
    ]
    assert corpus.classes == ()
    assert corpus.utterances[2].audio() == b"sound of c1"
    assert (corpus.source.licence, corpus.source.items, corpus.use) == ("CC-BY-4.0", 3, "open")


def test_what_is_missing_is_told(folder: Path, written: Callable[..., Path]) -> None:
    (folder / "librispeech_mini/unlabelled_clean.tar").unlink()
    with pytest.raises(OperatorError, match=r"unlabelled_clean\.tar"):
        unlabelled("librispeech_mini", folder)
    written({"train": [row("a1"), row("a2")]}, "fsdd", left_out=("a2",))
    with pytest.raises(OperatorError, match=r"line 3: no sound file 'a2\.opus'"):
        unlabelled("fsdd", folder)
    with pytest.raises(OperatorError, match="KITHARA_DATA"):
        unlabelled("fsdd", None)
    with pytest.raises(OperatorError, match="no unlabelled speech mustard"):
        unlabelled("mustard", folder)


@pytest.mark.parametrize(("name", "clips"), [("librispeech_mini", 471), ("speech_commands", 1_151), ("fsdd", 2_700)])
def test_the_sets_as_they_lie_in_the_data_folder(name: str, clips: int) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"set KITHARA_DATA to a folder with {name}")
    assert len(unlabelled(name, DATA).utterances) == clips
    assert set(PARTS) == {"librispeech_mini", "speech_commands", "fsdd"}

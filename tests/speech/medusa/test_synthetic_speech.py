"""Made speech: the lines, and the corpus that the program makes of them."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from common.audio import decode_at
from common.errors import OperatorError
from contracts.speech import SAMPLE_RATE
from speech.medusa import synthetic_speech
from speech.medusa.corpora.corpus import shared_speakers
from speech.medusa.espeak import PROGRAM, version
from speech.medusa.script import LEXICON, MANNERS, VOICES, Line, Plan, script
from speech.medusa.synthetic import CLASSES, SHARES
from speech.medusa.synthetic_speech import espeak

needs_program = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed: install the Debian package {PROGRAM}"
)
SMALL = Plan(train=10, dev=2, test=4)


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return list(script(Plan(train=2_000, dev=400, test=800), seed=3))


def of(lines: list[Line], split: str) -> list[Line]:
    return [line for line in lines if line.split == split]


def test_sizes_and_voices(lines: list[Line]) -> None:
    assert Counter(line.split for line in lines) == {"train": 2_000, "dev": 400, "test": 800}
    for split, voices in VOICES.items():
        assert {line.voice for line in of(lines, split)} == set(voices)


def test_no_timbre_is_heard_in_two_splits() -> None:
    timbres = [{voice.split("+")[1] for voice in voices} for voices in VOICES.values()]
    assert sum(map(len, timbres)) == len(set.union(*timbres))


def test_classes_are_rare_in_training_and_balanced_elsewhere(lines: list[Line]) -> None:
    counts = Counter(int(line.mixture.argmax()) for line in of(lines, "train"))
    shares = np.array([counts[c] for c in range(8)]) / 2_000
    np.testing.assert_allclose(shares, SHARES, atol=0.03)
    for split, each in (("dev", 50), ("test", 100)):
        assert Counter(int(line.mixture.argmax()) for line in of(lines, split)) == dict.fromkeys(range(8), each)


def test_targets_are_mixtures_of_one_or_two(lines: list[Line]) -> None:
    mixtures = np.array([line.mixture for line in lines])
    np.testing.assert_allclose(mixtures.sum(axis=1), 1.0)
    count = (mixtures > 1e-9).sum(axis=1)
    assert set(count.tolist()) == {1, 2}
    assert (count == 2).mean() == pytest.approx(0.4, abs=0.03)
    assert mixtures.max(axis=1).min() == pytest.approx(0.5)


def test_attributes_follow_the_mixture(lines: list[Line]) -> None:
    attributes = np.array([line.attributes for line in lines])
    labels = np.array([line.mixture.argmax() for line in lines])
    assert ((attributes > 1) & (attributes < 7)).all()
    means = np.array([attributes[labels == c].mean(axis=0) for c in range(8)])
    arousal, valence, dominance = (dict(zip(CLASSES, column, strict=True)) for column in means.T)
    assert arousal["Angry"] > arousal["Neutral"] > arousal["Sad"]
    assert valence["Happy"] > valence["Neutral"] > valence["Disgust"]
    assert dominance["Angry"] > dominance["Neutral"] > dominance["Fear"]


def test_manners_overlap_and_yet_tell_something(lines: list[Line]) -> None:
    """Nearest mean of pitch, melody, speed and loudness: well above 1/8, well below all."""
    manners = np.array([line.manner for line in lines], np.float64)
    labels = np.array([line.mixture.argmax() for line in lines])
    scale = manners.std(axis=0)
    near = np.linalg.norm((manners[:, None] - MANNERS[None]) / scale, axis=2).argmin(axis=1)
    assert 0.3 < (near == labels).mean() < 0.8


def test_words_carry_a_part(lines: list[Line]) -> None:
    """With probability 1/2 a word of the mixture, else a plain one."""
    words = {word: c for c, some in enumerate(LEXICON) for word in some}
    pure = [line for line in lines if line.mixture.max() == 1.0 and line.mixture.argmax() != 7]
    told = [next(words[w] for w in line.text.rstrip(".").split() if w in words) for line in pure]
    own = np.mean([word == line.mixture.argmax() for word, line in zip(told, pure, strict=True)])
    assert own == pytest.approx(0.5, abs=0.03)
    assert {word for word, line in zip(told, pure, strict=True) if word != line.mixture.argmax()} == {7}


def test_a_script_is_a_function_of_its_seed() -> None:
    def texts(seed: int) -> list[tuple[str, str]]:
        return [(line.text, repr(line.manner)) for line in script(SMALL, seed)]

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)


def test_other_sizes_of_one_split_leave_the_others_alone() -> None:
    more = list(script(SMALL._replace(train=40), 0))
    assert [line.text for line in of(more, "test")] == [line.text for line in of(list(script(SMALL, 0)), "test")]


@needs_program
def test_the_corpus_and_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = espeak(tmp_path / "made", SMALL)
    assert (corpus.name, corpus.classes, corpus.judged, corpus.soft, corpus.bad) == ("espeak", CLASSES, True, True, ())
    assert len({u.id for u in corpus.utterances}) == len(corpus.utterances) == 16
    assert not shared_speakers(corpus.utterances)
    for utterance, line in zip(corpus.utterances, script(SMALL, 0), strict=True):
        np.testing.assert_allclose(utterance.target, line.mixture, atol=1e-6)
        assert utterance.text == line.text
        assert utterance.consensus == (np.sort(line.mixture)[-1] > 0.5 + 1e-9)
    sound = decode_at(corpus.utterances[0].audio(), SAMPLE_RATE)
    assert 1.0 < len(sound) / SAMPLE_RATE < 8.0

    # a second time nothing is said again, and the bytes are the same
    monkeypatch.setattr(synthetic_speech, "spoken", lambda *_: pytest.fail("said again"))
    again = espeak(tmp_path / "made", SMALL)
    assert again.source == corpus.source
    assert len(list((tmp_path / "made").iterdir())) == 16


@needs_program
def test_the_same_anywhere(tmp_path: Path) -> None:
    one, other = (espeak(tmp_path / name, Plan(3, 2, 2)) for name in ("a", "b"))
    assert one.source.sha256 == other.source.sha256
    assert [u.audio() for u in one.utterances] == [u.audio() for u in other.utterances]


@needs_program
def test_a_clip_that_is_gone_is_told(tmp_path: Path) -> None:
    corpus = espeak(tmp_path, Plan(1, 1, 1))
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(OperatorError, match="load the set anew"):
        corpus.utterances[0].audio()


@needs_program
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="name another folder"):
        espeak(tmp_path / "file" / "made", SMALL)


def test_a_missing_program_is_told_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="install the Debian package espeak-ng"):
        espeak(tmp_path / "made", SMALL)
    assert not (tmp_path / "made").exists()

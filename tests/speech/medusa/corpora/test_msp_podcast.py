"""The challenge's label file (specification, sections 1 and 2.2), good and bad."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import OperatorError
from speech.medusa import corpora
from speech.medusa.corpora.corpus import NOBODY

CLASSES = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
COLUMNS = ("FileName", *CLASSES, "EmoAct", "EmoVal", "EmoDom", "Split_Set")
Row = dict[str, str]
Write = Callable[..., Path]
reuses_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)


def row(name: str, votes: Mapping[str, float], split: str = "Train", **more: str) -> Row:
    shares = {c: f"{votes.get(c, 0.0):g}" for c in CLASSES}
    return {"FileName": name, **shares, "EmoAct": "5.2", "EmoVal": "2.5", "EmoDom": "4", "Split_Set": split, **more}


@pytest.fixture
def rows() -> list[Row]:
    return [
        row("a.wav", {"Angry": 0.6, "Sad": 0.2, "Neutral": 0.2}),
        row("b.wav", {"Happy": 0.5, "Surprise": 0.5}),
        row("c.wav", {"Contempt": 1.0}, "Development"),
        row("d.wav", {"Fear": 0.4, "Disgust": 0.3, "Neutral": 0.3}, "Test"),
    ]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """``written(rows, columns)``: a data folder with the label file and a recording for each of a.wav to d.wav."""
    audio = tmp_path / "msp_podcast/Audios"
    audio.mkdir(parents=True)
    for name in "abcd":
        (audio / f"{name}.wav").write_bytes(f"sound {name}".encode())

    def write(rows: Sequence[Row], columns: Sequence[str] | None = None) -> Path:
        with (tmp_path / "msp_podcast/labels.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns or list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path

    return write


def test_classes_attributes_and_splits_have_the_fixed_order(rows: list[Row], written: Write) -> None:
    corpus = corpora.load("msp_podcast", written(rows))
    assert corpus.classes == CLASSES
    assert [u.id for u in corpus.utterances] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert [u.split for u in corpus.utterances] == ["train", "train", "dev", "test"]
    assert np.array_equal(corpus.utterances[0].target, np.float32([0.6, 0.2, 0, 0, 0, 0, 0, 0.2]))
    # Arousal, valence, dominance
    assert np.array_equal(corpus.utterances[0].attributes, np.float32([5.2, 2.5, 4.0]))
    assert corpus.utterances[1].audio() == b"sound b"
    assert [u.consensus for u in corpus.utterances] == [True, False, True, True]
    assert (corpus.judged, corpus.soft, corpus.use, corpus.bad) == (True, True, "research", ())


@reuses_folder
@given(columns=st.permutations(COLUMNS))
def test_columns_are_found_by_their_names(rows: list[Row], written: Write, columns: list[str]) -> None:
    """Section 1, the column order trap: EmoVal and EmoDom stand in either order in files that are about."""
    usual, other = corpora.load("msp_podcast", written(rows)), corpora.load("msp_podcast", written(rows, columns))
    for one, two in zip(usual.utterances, other.utterances, strict=True):
        assert one.id == two.id
        assert np.array_equal(one.target, two.target)
        assert np.array_equal(one.attributes, two.attributes)


@reuses_folder
@given(votes=st.lists(st.integers(0, 5), min_size=8, max_size=8), other=st.integers(0, 5))
def test_votes_for_other_are_dropped_before_normalising(written: Write, votes: list[int], other: int) -> None:
    total = max(1, sum(votes) + other)
    shares = {c: v / total for c, v in zip(CLASSES, votes, strict=True)}
    corpus = corpora.load("msp_podcast", written([row("a.wav", shares, Other=f"{other / total}"), SOUND]))
    found = [u for u in corpus.utterances if u.id == "a.wav"]
    if not sum(votes):
        assert not found
        assert "line 2: no vote for any of the classes" in corpus.bad[0]
    else:
        assert found[0].target == pytest.approx([v / sum(votes) for v in votes], abs=1e-4)


SOUND = row("b.wav", {"Neutral": 1.0}, Other="0")


@pytest.mark.parametrize(("code", "agreed"), [("A", True), ("O", False), ("X", False)])
def test_codes_without_consensus(rows: list[Row], written: Write, code: str, agreed: bool) -> None:
    coded = [{**r, "EmoClass": code} for r in rows]
    corpus = corpora.load("msp_podcast", written(coded))
    assert [u.consensus for u in corpus.utterances] == [agreed] * 4
    assert corpus.utterances[0].target[0] == np.float32(0.6)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"Angry": "0.1"}, "the votes sum to 0.5, not to 1"),
        ({"Angry": "0.9"}, "the votes sum to 1.3, not to 1"),
        ({"Angry": "nan"}, "a vote is no finite number"),
        ({"Angry": "-0.6"}, "a vote is below 0"),
        ({"Angry": ""}, "Angry is '', no number"),
        ({"Angry": "0", "Sad": "0", "Neutral": "0"}, "no vote for any of the classes"),
        ({"EmoAct": "nan"}, "EmoAct is nan, not from 1 to 7"),
        ({"EmoVal": "0.5"}, "EmoVal is 0.5, not from 1 to 7"),
        ({"EmoDom": "high"}, "EmoDom is 'high', no number"),
        ({"EmoClass": "Q"}, "EmoClass is 'Q', none of A, S, H, U, F, D, C, N, O, X"),
        ({"Split_Set": "Holdout"}, "Split_Set is 'Holdout'"),
        ({"FileName": "gone.wav"}, "no recording 'gone.wav' in Audios"),
        ({"FileName": "b.wav"}, None),
        ({"Joy": "0.2"}, "votes for Joy, none of the classes"),
    ],
)
def test_a_bad_row_is_skipped_counted_and_told_where(
    rows: list[Row], written: Write, changes: Row, told: str | None
) -> None:
    """Issue 8, bad input: unknown class, votes that do not sum, a missing file, NaN."""
    extra = {name: ("N" if name == "EmoClass" else "0") for name in changes if name not in COLUMNS}
    spoiled = [{**rows[0], **changes}, *({**r, **extra} for r in rows[1:])]
    corpus = corpora.load("msp_podcast", written(spoiled))
    (line,) = corpus.bad
    place, fault = ("line 3", "b.wav has a row already") if told is None else ("line 2", told)
    assert f"labels.csv, {place}: " in line
    assert fault in line
    assert len(corpus.utterances) == corpus.source.items == 3


def test_a_row_of_another_width_is_skipped(rows: list[Row], written: Write) -> None:
    folder = written(rows)
    labels = folder / "msp_podcast/labels.csv"
    lines = labels.read_text().splitlines()
    labels.write_text("\n".join([lines[0], f"{lines[1]},7", lines[2].rpartition(",")[0], *lines[3:]]))
    corpus = corpora.load("msp_podcast", folder)
    assert [line.rpartition(": ")[2] for line in corpus.bad] == ["more or fewer cells than columns"] * 2
    assert [u.id for u in corpus.utterances] == ["c.wav", "d.wav"]


def test_only_bad_rows_are_an_error(rows: list[Row], written: Write) -> None:
    with pytest.raises(OperatorError, match="no usable row, 4 skipped"):
        corpora.load("msp_podcast", written([{**r, "Angry": "3"} for r in rows]))


@pytest.mark.parametrize("column", ["Contempt", "EmoVal", "Split_Set"])
def test_a_file_without_a_column_is_refused(rows: list[Row], written: Write, column: str) -> None:
    for r in rows:
        del r[column]
    with pytest.raises(OperatorError, match=f"no column {column}"):
        corpora.load("msp_podcast", written(rows))


def test_a_file_with_a_column_twice_is_refused(rows: list[Row], written: Write) -> None:
    folder = written(rows)
    labels = folder / "msp_podcast/labels.csv"
    labels.write_text(labels.read_text().replace("EmoVal", "EmoAct", 1))
    with pytest.raises(OperatorError, match="EmoVal"):
        corpora.load("msp_podcast", folder)
    labels.write_text(labels.read_text().replace("EmoAct,EmoAct", "EmoAct,EmoVal,EmoAct", 1))
    with pytest.raises(OperatorError, match="EmoAct stands there twice"):
        corpora.load("msp_podcast", folder)


def test_missing_files_say_what_must_be_got(rows: list[Row], written: Write, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"labels\.csv is missing.*signed academic licence"):
        corpora.load("msp_podcast", tmp_path)
    folder = written(rows)
    for path in (folder / "msp_podcast/Audios").iterdir():
        path.unlink()
    with pytest.raises(OperatorError, match=r"Audios holds no recording.*signed academic licence"):
        corpora.load("msp_podcast", folder)


def test_a_named_speaker_of_two_splits_is_refused_and_an_unnamed_one_is_nobody(rows: list[Row], written: Write) -> None:
    named = [{**r, "SpkrID": s} for r, s in zip(rows, ("7", "Unknown", "8", "Unknown"), strict=True)]
    corpus = corpora.load("msp_podcast", written(named))
    assert [u.speaker for u in corpus.utterances] == ["7", NOBODY, "8", NOBODY]
    named[2]["SpkrID"] = "7"
    with pytest.raises(OperatorError, match="7 in train, dev"):
        corpora.load("msp_podcast", written(named))


def test_transcripts_are_read_beside_the_recordings(rows: list[Row], written: Write) -> None:
    folder = written(rows)
    texts = folder / "msp_podcast/Transcripts"
    texts.mkdir()
    (texts / "a.txt").write_text(" Well, no. \n")
    (texts / "b.txt").write_text("")
    assert [u.text for u in corpora.load("msp_podcast", folder).utterances] == ["Well, no.", "", None, None]


def test_hard_targets_need_a_class_with_most_votes(rows: list[Row], written: Write) -> None:
    corpus = corpora.load("msp_podcast", written(rows), soft=False)
    assert [CLASSES[int(u.target.argmax())] for u in corpus.utterances] == ["Angry", "Contempt", "Fear"]
    assert all(u.target.max() == 1 for u in corpus.utterances)
    assert "line 3: no class has most votes" in corpus.bad[0]
    assert not corpus.soft


def test_the_digest_changes_with_labels_recordings_and_transcripts(rows: list[Row], written: Write) -> None:
    folder = written(rows)
    digests = {corpora.load("msp_podcast", folder).source.sha256}
    (folder / "msp_podcast/Audios/a.wav").write_bytes(b"another sound")
    digests.add(corpora.load("msp_podcast", folder).source.sha256)
    (folder / "msp_podcast/Transcripts").mkdir()
    (folder / "msp_podcast/Transcripts/a.txt").write_text("Yes.")
    digests.add(corpora.load("msp_podcast", folder).source.sha256)
    rows[0]["EmoAct"] = "5.3"
    digests.add(corpora.load("msp_podcast", written(rows)).source.sha256)
    assert len(digests) == 4

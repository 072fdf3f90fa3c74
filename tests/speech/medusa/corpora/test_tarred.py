"""Acted sets: one tar and one table for each split."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import OperatorError
from speech.medusa import corpora

Tables = dict[str, list[dict[str, str]]]
Write = Callable[..., Path]


def test_rows_stand_in_the_order_of_the_tables_and_read_their_own_bytes(tables: Tables, written: Write) -> None:
    corpus = corpora.load("emodb", written(tables))
    assert [(u.id, u.speaker, u.split) for u in corpus.utterances] == [
        ("03a", "03", "train"),
        ("08a", "08", "train"),
        ("08b", "08", "train"),
        ("14a", "14", "dev"),
        ("15a", "15", "test"),
    ]
    assert [u.audio() for u in corpus.utterances] == [f"sound of {u.id}".encode() for u in corpus.utterances]
    assert [u.text for u in corpus.split("train")] == ["Satz 03a", "Satz 08a", "Satz 08b"]
    assert all(u.consensus and np.isnan(u.attributes).all() for u in corpus.utterances)
    assert (corpus.use, corpus.judged, corpus.bad, corpus.source.items) == ("open", False, (), 5)


def test_the_share_of_listeners_is_the_mass_of_the_intended_class(tables: Tables, written: Write) -> None:
    corpus = corpora.load("emodb", written(tables))
    assert corpus.soft
    happy = corpus.utterances[0].target
    assert happy[corpus.classes.index("happiness")] == np.float32(0.9)
    assert np.delete(happy, corpus.classes.index("happiness")) == pytest.approx(0.1 / 6)
    for u in corpus.utterances:
        assert u.target.dtype == np.float32
        assert u.target.sum() == pytest.approx(1.0)


def test_without_soft_every_target_is_one_hot_and_the_corpus_says_so(tables: Tables, written: Write) -> None:
    for rows in tables.values():
        for row in rows:
            del row["recognised_pct"]
    corpus = corpora.load("emodb", written(tables), soft=False)
    assert not corpus.soft
    assert [corpus.classes[int(u.target.argmax())] for u in corpus.utterances] == [
        "happiness",
        "anger",
        "neutral",
        "fear",
        "boredom",
    ]
    assert np.array_equal(np.sort([u.target for u in corpus.utterances])[:, -2:], [[0, 1]] * 5)


def test_a_set_without_votes_never_claims_soft_targets(tables: Tables, written: Write) -> None:
    tables["test"][0]["emotion"] = "surprise"
    for name, classes in (("ravdess", 8), ("nemo", 6)):
        usable = {
            split: [{**row, "emotion": "surprise" if row["emotion"] == "boredom" else row["emotion"]} for row in rows]
            for split, rows in tables.items()
        }
        corpus = corpora.load(name, written(usable, name), soft=True)
        assert not corpus.soft
        assert corpus.use == "research"
        assert len(corpus.classes) == classes
        assert all(sorted(u.target)[-2:] == [0, 1] for u in corpus.utterances)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("emotion", "joy", "unknown class 'joy'"),
        ("recognised_pct", "", "recognised_pct is ''"),
        ("recognised_pct", "101", "recognised_pct is '101'"),
        ("recognised_pct", "nan", "recognised_pct is 'nan'"),
        ("file", "gone.opus", None),
    ],
)
def test_a_bad_row_is_skipped_and_told_with_its_line(
    tables: Tables, written: Write, column: str, value: str, told: str | None
) -> None:
    tables["train"][1][column] = value
    left_out = ("08a",) if told is None else ()
    corpus = corpora.load("emodb", written(tables, left_out=left_out))
    assert [u.id for u in corpus.split("train")] == ["03a", "08b"]
    (line,) = corpus.bad
    assert "train.tsv, line 3" in line
    assert (told or "no sound file 'gone.opus'") in line
    assert corpus.source.items == 4


def test_no_usable_row_at_all_is_an_error(tables: Tables, written: Write) -> None:
    for rows in tables.values():
        for row in rows:
            row["emotion"] = "joy"
    with pytest.raises(OperatorError, match=r"no usable row, 5 skipped .*line 2: unknown class 'joy'"):
        corpora.load("emodb", written(tables))


def test_a_speaker_of_two_splits_is_refused(tables: Tables, written: Write) -> None:
    tables["test"][0]["speaker"] = "08"
    with pytest.raises(OperatorError, match=r"1 speakers .*08 in train, test"):
        corpora.load("emodb", written(tables))


def test_a_table_without_a_column_is_refused(tables: Tables, written: Write) -> None:
    for row in tables["dev"]:
        del row["speaker"]
    with pytest.raises(OperatorError, match=r"dev\.tsv: no column speaker"):
        corpora.load("emodb", written(tables))


def test_a_row_of_another_width_is_refused(tables: Tables, written: Write) -> None:
    folder = written(tables)
    table = folder / "emodb/dev.tsv"
    table.write_text(table.read_text() + "14b\t14\n")
    with pytest.raises(OperatorError, match=r"dev\.tsv, line 3: 2 columns, not 6"):
        corpora.load("emodb", folder)


@pytest.mark.parametrize("name", ["train.tsv", "dev.tar"])
def test_a_missing_file_is_named(tables: Tables, written: Write, name: str) -> None:
    folder = written(tables)
    (folder / "emodb" / name).unlink()
    with pytest.raises(OperatorError, match=name):
        corpora.load("emodb", folder)


def test_what_is_no_tar_is_told(tables: Tables, written: Write) -> None:
    folder = written(tables)
    (folder / "emodb/test.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(OperatorError, match=r"test\.tar is no whole tar"):
        corpora.load("emodb", folder)


def test_a_tar_that_ends_or_goes_after_it_was_listed_is_told(tables: Tables, written: Write) -> None:
    folder = written(tables)
    last = corpora.load("emodb", folder).split("train")[-1]
    tar = folder / "emodb/train.tar"
    tar.write_bytes(tar.read_bytes()[:1_030])
    with pytest.raises(OperatorError, match="ends within a sound file"):
        last.audio()
    tar.unlink()
    with pytest.raises(OperatorError, match="cannot be read"):
        last.audio()


def test_the_digest_covers_every_file(tables: Tables, written: Write) -> None:
    folder = written(tables)
    digests = {corpora.load("emodb", folder).source.sha256}
    for name in ("train.tsv", "train.tar", "dev.tsv", "dev.tar", "test.tsv", "test.tar"):
        path = folder / "emodb" / name
        kept = path.read_bytes()
        # Nothing that a reader would take for another set: a longer padding of the tar, another text.
        path.write_bytes(kept + bytes(512) if name.endswith("tar") else kept.replace(b"Satz", b"Wort"))
        digests.add(corpora.load("emodb", folder).source.sha256)
        path.write_bytes(kept)
    assert len(digests) == 7
    assert corpora.load("emodb", folder).source.sha256 in digests
    assert all(len(d) == len(hashlib.sha256().hexdigest()) for d in digests)


def test_another_name_and_no_folder_are_operator_errors() -> None:
    with pytest.raises(OperatorError, match="no corpus iemocap; there are emodb"):
        corpora.load("iemocap", Path())
    with pytest.raises(OperatorError, match="give the folder that holds nemo/ with --data or KITHARA_DATA"):
        corpora.load("nemo", None)

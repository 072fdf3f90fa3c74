"""The published comments, and files that are not as they were published."""

import os
from collections import Counter
from pathlib import Path

import pytest

from common.data.goemotions import ROWS, read_goemotions
from common.errors import OperatorError


def written(folder: Path, first: str = "well\t27\tfirst", *, test: int = ROWS["test"]) -> Path:
    """Rows of the stated number; ``first`` is the first one of train."""
    (folder / "emotion_text").mkdir()
    (folder / "emotion_text/goemotions_labels.txt").write_text("\n".join(f"label{n}" for n in range(28)) + "\n")
    for split, size in {**ROWS, "test": test}.items():
        rows = [f'"text {n}\t{n % 28}\t{split}{n}' for n in range(size)]
        rows[0] = first if split == "train" else rows[0]
        (folder / f"emotion_text/goemotions_{split}.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_a_row_is_text_labels_and_id_without_quoting(tmp_path: Path) -> None:
    read = read_goemotions(written(tmp_path, "a,  b\x0bc\t3,0\tfirst"))
    assert read.labels == tuple(f"label{n}" for n in range(28))
    assert read.comments[0] == ("first", "train", "a,  b\x0bc", ("label3", "label0"))
    assert read.comments[1] == ("train1", "train", '"text 1', ("label1",))
    assert Counter(c.split for c in read.comments) == ROWS
    assert [file.path.name[11:] for file in read.files] == ["labels.txt", "train.tsv", "dev.tsv", "test.tsv"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a\t28\tx", "line 1: label '28' is outside 0-27"),
        ("a\t-1\tx", "outside"),
        ("a\tjoy\tx", "outside"),
        ("a\t\tx", "outside"),
        ("a\t1", "2 columns"),
        ("a\t1\ttrain1", "train1 stands there twice"),
    ],
)
def test_rows_that_break_the_format_are_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        read_goemotions(written(tmp_path, line))


def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="43410/5426/5426 texts in train/dev/test, not 43410/5426/5427"):
        read_goemotions(written(tmp_path, test=5_426))


@pytest.mark.parametrize("missing", ["labels.txt", "dev.tsv"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (written(tmp_path) / f"emotion_text/goemotions_{missing}").unlink()
    with pytest.raises(OperatorError, match=rf"give --data the folder that holds emotion_text/goemotions_{missing}"):
        read_goemotions(tmp_path)


def test_published_comments_are_what_their_source_says() -> None:
    """emotion_text/SOURCE.md."""
    found = os.environ.get("KITHARA_DATA")
    if not found or not Path(found, "emotion_text").is_dir():
        pytest.skip("set KITHARA_DATA to a folder with emotion_text")
    read = read_goemotions(Path(found))
    assert (read.labels[0], read.labels[-1], len(read.labels)) == ("admiration", "neutral", 28)
    assert [file.sha256[:8] for file in read.files] == ["c2751b59", "1c254a14", "575489c0", "0587b2dd"]
    assert len({c.id for c in read.comments}) == 54_263

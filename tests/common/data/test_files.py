"""A text file of a data folder: read whole, or refused with what to do."""

import hashlib
from pathlib import Path

import pytest

from common.data.files import File, digest
from common.errors import OperatorError
from contracts._base import Record


class Row(Record, frozen=True):
    n: int


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("one\rtwo\u2028three\n\nfour\n".encode())
    file = File(tmp_path, "a.txt")
    assert file.lines() == ["one\rtwo\u2028three", "", "four"]
    assert file.sha256 == hashlib.sha256((tmp_path / "a.txt").read_bytes()).hexdigest()


def test_the_digest_of_several_depends_on_their_order(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    a, b = File(tmp_path, "a"), File(tmp_path, "b")
    assert digest(a) == a.sha256
    assert digest(a, b) == hashlib.sha256((a.sha256 + b.sha256).encode()).hexdigest() != digest(b, a)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer, not the data"),
        (b"caf\xe9\n", "not UTF-8 at byte 3"),
        (None, "give --data the folder that holds rows.jsonl"),
    ],
)
def test_what_is_no_data_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(OperatorError, match=said):
        File(tmp_path, "rows.jsonl")
    with pytest.raises(OperatorError, match=r"rows\.jsonl is needed: give --data"):
        File(None, "rows.jsonl")


def test_rows_are_decoded_or_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    assert [row.n for row in File(tmp_path, "rows.jsonl").rows(Row)] == [1, 2]
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n{"n": "two"}\n')
    with pytest.raises(OperatorError, match=r"rows\.jsonl, line 2: Expected `int`.*correct or drop the row"):
        File(tmp_path, "rows.jsonl").rows(Row)

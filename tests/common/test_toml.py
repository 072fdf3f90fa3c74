"""A TOML file that a flag names: a valid Record, or one line that says which file and field, and what to do."""

import re
from pathlib import Path

import pytest

from common.errors import Invalid, OperatorError
from common.toml import read_file
from contracts._base import Positive, Record


class Tempo(Record, frozen=True, kw_only=True):
    """Of a piece."""

    beats: Positive = 60


def test_a_valid_file_is_the_record(tmp_path: Path) -> None:
    file = tmp_path / "tempo.toml"
    file.write_text("# é\nbeats = 72\n", encoding="utf-8")
    assert read_file(file, Tempo, "--tempo") == Tempo(beats=72)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"beats =", "not a TOML file"),
        (b"beats = '\xff'", "not a TOML file"),
        (b"beats = 0", "beats: Expected `int` >= 1"),
        (b"bars = 4", "the top level: Object contains unknown field `bars`"),
    ],
)
def test_what_is_wrong_stands_in_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "tempo.toml"
    file.write_bytes(content)
    with pytest.raises(OperatorError, match=re.escape(f"--tempo {file}: {said}")) as caught:
        read_file(file, Tempo, "--tempo")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="absent: no such file"):
        read_file(tmp_path / "absent", Tempo, "--tempo")
    with pytest.raises(OperatorError, match="cannot be read"):
        read_file(tmp_path, Tempo, "--tempo")


def test_a_wrong_field_is_in_the_sentence_and_in_the_list() -> None:
    error = Invalid.field("beats", "is 0; use at least 1")
    assert (error.detail, error.errors[0].field, error.errors[0].message) == (
        "beats: is 0; use at least 1",
        "beats",
        "is 0; use at least 1",
    )

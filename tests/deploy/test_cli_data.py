"""``kithara data check``."""

import hashlib
import json
from pathlib import Path

import pytest


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets of two files each, one digest in back quotes."""
    for name in ("birds", "bees"):
        folder = tmp_path / name
        folder.mkdir()
        rows = ["# A data set", "", "| file | items | sha256 |", "|---|---|---|"]
        for file, content in (("train.npz", b"learn"), ("test.npz", b"ask")):
            (folder / file).write_bytes(content)
            rows.append(f"| {file if name == 'bees' else f'`{file}`'} | 5 | {hashlib.sha256(content).hexdigest()} |")
        (folder / "SOURCE.md").write_text("\n".join([*rows, "", "The end."]))
    (tmp_path / "not_a_set").mkdir()
    monkeypatch.setenv("KITHARA_DATA", str(tmp_path))
    return tmp_path


def test_sound(kithara, data):
    ran = kithara("data", "check", "--json")
    assert ran.status == 0
    sets = [{"name": name, "files": 2, "ok": True, "wrong": []} for name in ("bees", "birds")]
    assert json.loads(ran.out) == {"folder": str(data), "sets": sets}


def test_a_changed_and_a_missing_file_are_named(kithara, data):
    (data / "bees" / "train.npz").write_bytes(b"learm")
    (data / "birds" / "test.npz").unlink()
    ran = kithara("data", "check", "--json")
    assert ran.status == 2
    assert [one["wrong"] for one in json.loads(ran.out)["sets"]] == [
        [f"{data}/bees/train.npz: not the file that SOURCE.md describes"],
        [f"{data}/birds/test.npz: missing"],
    ]
    assert ran.err.startswith(f"kithara data check: 2 wrong, first {data}/bees/train.npz")
    assert ran.err.count("\n") == 1


def test_a_source_that_lists_nothing_is_not_sound(kithara, data):
    (data / "bees" / "SOURCE.md").write_text("nothing")
    assert kithara("data", "check").status == 2


@pytest.mark.parametrize("argv", [[], ["--data", "absent"], ["--data", "."]])
def test_no_data_is_one_line(kithara, tmp_path, monkeypatch, argv):
    monkeypatch.delenv("KITHARA_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    ran = kithara("data", "check", *argv)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1

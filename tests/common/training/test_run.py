import tomllib
from pathlib import Path

import pytest

from common.errors import OperatorError
from common.training.run import create, open_run, same_data, toml
from contracts._base import Record
from contracts.models import DataSource

SOURCE = DataSource(name="a", licence="MIT", sha256="0" * 64, items=3)


class Inner(Record, kw_only=True):
    names: tuple[str, ...] = ('qu"ote\\', "é\n")
    clip: float | None = None


class Outer(Record, kw_only=True):
    seed: int = 1
    flag: bool = True
    inner: Inner = Inner()
    rate: float = 1e-7


def test_a_new_run_can_be_opened_and_read(tmp_path: Path) -> None:
    made = create(tmp_path, system="fff", command="kithara train fff", config=Outer(), seed=1, data=(SOURCE,))
    opened = open_run(made.folder, "fff")
    assert opened.manifest == made.manifest
    assert tomllib.loads((made.folder / "config.toml").read_text()) == {
        "seed": 1, "flag": True, "rate": 1e-7, "inner": {"names": ['qu"ote\\', "é\n"]},
    }  # fmt: skip
    opened.update(status="finished")
    assert open_run(made.folder, "fff").manifest.status == "finished"


def test_toml_of_tables_in_tables() -> None:
    values = {"a": {"b": {"c": 1}, "d": 2.5}, "e": [1, 2], "f": [{"g": ["h"], "i": True}, {"g": [], "i": False}]}
    assert tomllib.loads(toml(values)) == values


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"run\.json is missing; name the folder"):
        open_run(tmp_path, "fff")
    made = create(tmp_path, system="fff", command="", config=Outer(), seed=1, data=())
    with pytest.raises(OperatorError, match="not 'acn'"):
        open_run(made.folder, "acn")
    (made.folder / "run.json").write_text('{"id": 3}')
    with pytest.raises(OperatorError, match=r"\$\.id"):
        open_run(made.folder, "fff")


def test_other_data_than_the_runs_are_refused(tmp_path: Path) -> None:
    made = create(tmp_path, system="fff", command="", config=Outer(), seed=1, data=(SOURCE,))
    same_data(made, (SOURCE,))
    with pytest.raises(OperatorError, match="give the same --data"):
        same_data(made, (DataSource(name="a", licence="MIT", sha256="1" * 64, items=3),))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="--out"):
        create(tmp_path / "file", system="fff", command="", config=Outer(), seed=1, data=())

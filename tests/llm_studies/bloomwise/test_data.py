"""Loaders: the public sets where they are, and every way in which a file can be wrong."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from common.data.files import File
from common.errors import OperatorError
from llm_studies.bloomwise import generated
from llm_studies.bloomwise.data import FOLDER, SETS, Known, Problem, load, programmes, read, recorded
from llm_studies.bloomwise.extract import same


def written(folder: Path, *problems: Problem) -> tuple[Path, Known]:
    file = folder / "own.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in problems))
    return file, Known(len(problems), hashlib.sha256(file.read_bytes()).hexdigest())


def own(file: Path, known: Known) -> tuple[Problem, ...]:
    return read(File(file.parent, file.name), known, Problem)


def test_reads_the_rows_of_a_file(tmp_path: Path) -> None:
    made = generated.problems(5, options=0.5)
    assert own(*written(tmp_path, *made)) == made


def test_a_pointer_of_git_lfs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    with pytest.raises(OperatorError, match="LFS pointer"):
        own(file, Known(3, ""))


@pytest.mark.parametrize("rows", [2, 4])
def test_another_count_is_refused(tmp_path: Path, rows: int) -> None:
    file, known = written(tmp_path, *generated.problems(3))
    with pytest.raises(OperatorError, match=f"3 rows instead of {rows}"):
        own(file, known._replace(rows=rows))


def test_an_id_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    one = generated.problems(1)[0]
    with pytest.raises(OperatorError, match=f"{one.id} stands there twice"):
        own(*written(tmp_path, one, one))


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    file, known = written(tmp_path, *generated.problems(2))
    file.write_bytes(file.read_bytes().replace(b"has", b"had", 1))
    with pytest.raises(OperatorError, match="not the file"):
        own(file, known)


@pytest.mark.parametrize("row", ["{", '{"id": "a"}', "[]"])
def test_a_row_that_is_no_problem_names_its_line(tmp_path: Path, row: str) -> None:
    file, known = written(tmp_path, *generated.problems(2))
    file.write_text(file.read_text() + row + "\n")
    with pytest.raises(OperatorError, match="line 3"):
        own(file, known)


def test_a_missing_folder_or_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="KITHARA_DATA"):
        load("svamp", None)
    with pytest.raises(OperatorError, match=f"No such file .* the folder that holds {FOLDER}"):
        load("svamp", tmp_path)


@pytest.mark.parametrize("name", SETS)
def test_public_sets_are_what_they_are_said_to_be(data: Path, name: str) -> None:
    found = load(name, data)
    assert len(found) == SETS[name].rows
    for one in found:
        assert same(one.gold, one.gold)
        assert (one.gold_kind == "option") == (one.options is not None)
        assert one.options is None or one.gold in one.options


def test_recorded_replies_and_programmes_belong_to_their_problems(data: Path) -> None:
    assert {one.id for one in programmes(data)} == {one.id for one in load("gsm_hard", data)}
    golds = {one.id: one.gold for one in load("gsm8k_test", data)}
    rows = {row.id: row for row in recorded(data)}
    assert golds.items() <= {(name, row.gold) for name, row in rows.items()}


def test_generated_problems_are_a_function_of_their_arguments() -> None:
    made = generated.problems(200, seed=3, options=0.3)
    assert made == generated.problems(200, seed=3, options=0.3)
    assert made[:50] == generated.problems(50, seed=3, options=0.3)
    assert len({one.question for one in made}) == len({one.id for one in made}) == 200
    train = generated.problems(200, split="train")
    assert not {one.id for one in train} & {one.id for one in made}
    assert 30 < sum(one.gold_kind == "option" for one in made) < 90


def test_generated_golds_are_what_the_reasoning_computes() -> None:
    decimals = 0
    for one in generated.problems(200, options=0.3):
        assert one.solution is not None
        steps = one.solution.rstrip(".").split(". ")
        assert 1 <= len(steps) <= 4
        for step in steps:
            left, _, right = step.partition(" = ")
            assert same(str(round(eval(left), 6)), right), step
        result = steps[-1].rpartition(" = ")[2]
        gold = one.options[one.gold] if one.options else one.gold
        assert same(result, gold)
        assert not result.startswith("-")
        decimals += "." in result
        if one.options:
            assert sum(same(text, result) for text in one.options.values()) == 1
    assert decimals > 20

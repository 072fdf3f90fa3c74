"""Checks A, B and C: recorded replies give the figures of bloomwise.md to the last digit."""

import json
from pathlib import Path

import pytest

from common.errors import OperatorError
from llm_studies.bloomwise import replay
from llm_studies.bloomwise.data import load, programmes, recorded
from llm_studies.sandbox.run import Sandbox


def test_the_ladder_on_recorded_solutions(data: Path) -> None:
    rows = {row.condition: row.values for row in replay.solutions(recorded(data))}
    levels = [values for name, values in rows.items() if name.startswith("level")]
    assert [round(values["accuracy"], 4) for values in levels] == [0.2168, 0.3904, 0.3472, 0.5625]
    assert {values["agrees with the record"] for values in levels} == {1319}
    assert {values["flexible agrees"] for values in levels} == {1319}
    last = rows["converge, fallback last"]
    assert round(last["accuracy"], 4) == 0.5588
    assert round(last["accuracy if converged"], 4) == 0.7622
    assert round(last["calls"], 3) == 3.423
    assert [last[f"stopped after {k}"] for k in (2, 3, 4)] == [280, 201, 112]
    assert (last["converged"], 1319 - last["converged"]) == (593, 726)
    assert round(rows["converge, fallback majority"]["accuracy"], 4) == 0.5527
    assert round(rows["majority"]["accuracy"], 4) == 0.5633
    oracle = rows["oracle, stopped at the first right level"]
    assert (round(oracle["accuracy"], 4), round(oracle["calls"], 3)) == (0.6725, 2.815)


ITEM = """*************************
{n}st data
1_th_sampling
Q: How many is that?
A: Let's think step by step. There are some.
Therefore, the answer (arabic numerals) is {said}.
pred_before : {said}.
pred_after : {said}
pred_list : ['{said}']
pred_mode : {said}
GT : {gold}
*************************
"""


def log(folder: Path, *items: tuple[str, str], size: int | None = None) -> Path:
    """A log of our own in the stated format."""
    file = folder / replay.LOG_FILE[1]
    head = f"setup data loader ...\ndata size : {len(items) if size is None else size}\n"
    file.write_text(head + "".join(ITEM.format(n=n, said=said, gold=gold) for n, (said, gold) in enumerate(items, 1)))
    return file


def test_a_log_is_scored_as_text_and_as_numbers(tmp_path: Path) -> None:
    items = [("40000", "40,000"), ("14.00", "14"), ("7", "7"), ("8", "9"), ("", "3")]
    rows = {row.condition: row.values for row in replay.log(replay.read_log(log(tmp_path, *items)))}
    assert rows["equal as strings"] == {"accuracy": 1 / 5, "right": 1}
    assert rows["equal as numbers"] == {"accuracy": 3 / 5, "right": 3}


@pytest.mark.parametrize("size", [1, 3])
def test_a_log_that_was_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(OperatorError, match="2 predictions"):
        replay.read_log(log(tmp_path, ("1", "1"), ("2", "2"), size=size))


def test_another_file_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("nothing of the kind")
    with pytest.raises(OperatorError, match="0 predictions"):
        replay.read_log(tmp_path / "notes")


def test_the_public_log(tmp_path: Path) -> None:
    file = replay.given(replay.LOG_FILE, None)
    if file is None:
        pytest.skip(f"set {replay.LOG_FILE[0]} to log/{replay.LOG_FILE[1]} of kojima-takeshi188/zero_shot_cot")
    rows = {row.condition: row.values["accuracy"] for row in replay.log(replay.read_log(file))}
    assert {name: round(100 * share, 4) for name, share in rows.items()} == {
        "equal as strings": 40.7127,
        "equal as numbers": 41.0917,
    }


def test_a_named_file_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(replay.LOG_FILE[0], str(tmp_path / "none"))
    with pytest.raises(OperatorError, match=replay.LOG_FILE[0]):
        replay.given(replay.LOG_FILE, None)
    monkeypatch.delenv(replay.LOG_FILE[0])
    assert replay.given(replay.LOG_FILE, tmp_path) is None
    (tmp_path / replay.FOLDER).mkdir()
    assert replay.given(replay.LOG_FILE, tmp_path) is None
    file = log(tmp_path / replay.FOLDER, ("1", "1"))
    assert replay.given(replay.LOG_FILE, tmp_path) == file


def test_recorded_programmes_are_run_and_compared(tmp_path: Path) -> None:
    codes = [("ans = 3 / 2", 1.5, 1.0), ("ans = 3", 4.0, 0.0), ("ans = nothing", 4.0, 0.0), ("ans = 4", 4.0, 0.0)]
    rows = [{"reason/pot": c, "inst/gold_answer": g, "reason/pot/score": s} for c, g, s in codes]
    file = tmp_path / "pot.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sandbox = Sandbox()
    (row,) = replay.recorded_programmes(replay.read_written(file, "pot"), sandbox)
    sandbox.close()
    assert row.values == {"accuracy": 0.5, "agrees with the record": 3, "without an answer": 1}
    file.write_text('{"reason/pot": "ans = 1"}\n')
    with pytest.raises(OperatorError, match="line 1"):
        replay.read_written(file, "pot")


def test_recorded_chains_are_scored_by_two_rules(tmp_path: Path) -> None:
    said = [
        ("So 3 + 4 = 7. The answer is 1,200.", 1200.0, 1.0),
        ("The answer is 12.50 $.", 12.5, 0.0),
        ("The answer is 5, which is more than 2.", 5.0, 1.0),
        ("The answer is no number.", 3.0, 0.0),
        ("Of 8 there are 2 left out. The answer is 6.", 6.0, 1.0),
    ]
    file = tmp_path / "cot.jsonl"
    rows = [{"reason/cot": text, "inst/gold_answer": gold, "reason/cot/score": score} for text, gold, score in said]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = {row.condition: row.values for row in replay.recorded_chains(replay.read_written(file, "cot"))}
    assert found["as recorded"] == {"accuracy": 0.6, "right": 3}
    assert found["plain last number"] == {"accuracy": 0.6, "right": 3, "agrees with the record": 3}
    assert found["flexible extractor"] == {"accuracy": 0.8, "right": 4, "agrees with the record": 4}
    file.write_text('{"reason/pot": "ans = 1", "inst/gold_answer": 1, "reason/pot/score": 1}\n')
    with pytest.raises(OperatorError, match="line 1"):
        replay.read_written(file, "cot")


def test_the_public_chains() -> None:
    """Section 5: recorded 79.98 %; the plain rule 81.50 %, agreeing on 1,295 items."""
    file = replay.given(replay.COT_FILE, None)
    if file is None:
        pytest.skip(f"set {replay.COT_FILE[0]} to outputs/gsm/cot/{replay.COT_FILE[1]} of tengxiaoliu/XoT")
    rows = {row.condition: row.values for row in replay.recorded_chains(replay.read_written(file, "cot"))}
    assert round(100 * rows["as recorded"]["accuracy"], 2) == 79.98
    assert round(100 * rows["plain last number"]["accuracy"], 2) == 81.5
    assert rows["plain last number"]["agrees with the record"] == 1295


def test_some_reference_programmes_compute_their_gold(data: Path) -> None:
    """All of them take minutes: ``kithara claims bloomwise --data`` runs those."""
    some = programmes(data)[::60]
    golds = {one.id: one.gold for one in load("gsm_hard", data)}
    sandbox = Sandbox()
    (row,) = replay.reference_programmes(some, [golds[one.id] for one in some], sandbox)
    sandbox.close()
    assert row.values == {"agrees with gold": len(some), "without an answer": 0}

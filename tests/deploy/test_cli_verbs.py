"""``evaluate``, ``claims``, ``predict``, ``bench``: the verb gets what was typed, the answer is pure."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def run(kithara, standin) -> str:
    """A run folder."""
    return kithara("train", "standin").out.strip()


def test_evaluate_shows_the_metrics(kithara, run):
    ran = kithara("evaluate", "standin", "--run", run)
    assert ran.status == 0
    row = next(line for line in ran.out.splitlines() if "accuracy" in line)
    assert row.split() == ["accuracy", "test", "0.7500", "[0.25,", "1]", "4"]
    assert "chatter" not in ran.out


def test_evaluate_json_is_one_document_and_nothing_else(kithara, run):
    ran = kithara("evaluate", "standin", "--run", run, "--json")
    document = json.loads(ran.out)
    assert document["system"] == "standin"
    assert document["metrics"][0]["interval"] == {"low": 0.25, "high": 1.0, "level": 0.95}
    assert "chatter of native code" in ran.err


@pytest.mark.parametrize("argv", [["--run", "absent"], ["--run", "absent", "--json"]])
def test_a_run_that_is_none_is_one_line(kithara, standin, argv):
    ran = kithara("evaluate", "standin", *argv)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == "kithara evaluate: absent holds no run.json train first"


def test_a_missing_flag_is_named(kithara, standin):
    ran = kithara("evaluate", "standin")
    assert ran.status == 2
    assert "--run" in ran.err
    assert ran.err.count("\n") == 1


def test_claims_json_and_the_command_that_repeats_it(kithara, standin, tmp_path):
    document = json.loads(kithara("claims", "standin", "--quick", "--seeds", "5", "--json").out)
    assert document["command"] == "kithara claims standin --quick --seeds 5"
    with_data = json.loads(kithara("claims", "standin", "--quick", "--data", str(tmp_path), "--json").out)
    assert with_data["command"] == "kithara claims standin --quick --data DIR"
    assert document["scale"] == "quick"
    assert (document["claims"][0]["seeds"], document["claims"][0]["verdict"]) == (5, "holds")


def test_claims_need_a_seed(kithara, standin):
    ran = kithara("claims", "standin", "--seeds", "0")
    assert (ran.status, ran.out, ran.err) == (2, "", "kithara claims: --seeds 0: give at least 1\n")


def test_claims_as_a_table(kithara, standin, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = kithara("claims", "standin").out
    assert "+1.5 points" in out
    assert "holds" in out


def test_predict_and_its_fields(kithara, standin):
    Path("three.png").write_bytes(b"123")
    assert json.loads(kithara("predict", "standin", "three.png", "--json").out)["figures"] == {"bytes": 3.0}
    assert ["figures.bytes", "3"] in [
        line.split() for line in kithara("predict", "standin", "three.png").out.splitlines()
    ]


def test_bench_by_the_name_of_a_system(kithara, standin):
    assert json.loads(kithara("bench", "standin", "--quick", "--json").out) == {
        "quick": True,
        "figures": {"ratio": 2.0},
    }


def test_an_unknown_bench_names_the_known_ones(kithara, standin):
    ran = kithara("bench", "sitar")
    assert ran.status == 2
    assert "serving, standin" in ran.err

"""``kithara train``: packaged configuration or file, then flags, then the Struct's own rules."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FIELDS = {"epochs": 3, "shuffle": True, "optim": {"lr": 0.1, "betas": [0.9, 0.99]}}


def recorded(run: str) -> dict[str, object]:
    """The manifest that the stand-in wrote."""
    return json.loads((Path(run) / "run.json").read_text())


def refused(ran) -> str:
    """The one line of a refused command."""
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.endswith("\n")
    assert ran.err.count("\n") == 1
    return ran.err


def test_the_run_folder_is_all_that_stdout_holds(kithara, standin):
    ran = kithara("train", "standin")
    assert (ran.status, ran.out) == (0, "runs/standin/one\n")
    assert [word for word in ("Python", "native code", "a child") if f"chatter of {word}\n" not in ran.err] == []
    assert recorded("runs/standin/one")["config"] == FIELDS


def test_tiny_is_the_default_and_flags_win_over_the_file(kithara, standin):
    (standin / "own.toml").write_text("epochs = 9\nshuffle = false\n[optim]\nlr = 0.5\n")
    argv = [
        "--config",
        "own.toml",
        "--optim.lr",
        "0.25",
        "--shuffle",
        "--optim.betas",
        "0.5",
        "0.75",
        "--out",
        "elsewhere",
    ]
    ran = kithara("train", "standin", *argv)
    assert ran.status == 0, ran.err
    assert recorded("elsewhere/standin/one")["config"] == {
        "epochs": 9, "shuffle": True, "optim": {"lr": 0.25, "betas": [0.5, 0.75]},
    }  # fmt: skip


def test_a_packaged_configuration_is_found_by_name(kithara, standin):
    assert kithara("train", "standin", "--config=long").status == 0
    assert recorded("runs/standin/one")["config"] == FIELDS | {"epochs": 100}


def test_json_is_one_document(kithara, standin):
    ran = kithara("train", "standin", "--json")
    assert json.loads(ran.out) == {"system": "standin", "run": "runs/standin/one"}


def test_the_recorded_command_repeats_the_run_elsewhere(kithara, standin, monkeypatch):
    monkeypatch.setenv("KITHARA_DATA", str(standin))
    kithara(
        "train",
        "standin",
        "--out",
        "/tmp/../" + str(standin),
        "--json",
        "--optim.lr=0.5",
        "--config",
        "long",
        f"--data={standin}",
    )
    manifest = recorded(str(standin / "standin" / "one"))
    assert manifest["command"] == "kithara train standin --optim.lr=0.5 --config long"
    assert manifest["properties"] == {"data": str(standin)}


def test_data_defaults_to_the_environment_and_a_flag_wins(kithara, standin, monkeypatch):
    for folder in ("one", "two"):
        (standin / folder).mkdir()
    monkeypatch.setenv("KITHARA_DATA", "one")
    kithara("train", "standin")
    assert recorded("runs/standin/one")["properties"] == {"data": "one"}
    kithara("train", "standin", "--data", "two")
    assert recorded("runs/standin/one")["properties"] == {"data": "two"}


def test_resume_takes_the_configuration_of_the_run(kithara, standin):
    Path("old").mkdir()
    Path("old/config.toml").write_text("epochs = 7\n")
    assert kithara("train", "standin", "--resume", "old").out == "old\n"
    assert recorded("old")["config"] == FIELDS | {"epochs": 7}
    assert "leave --config out" in refused(kithara("train", "standin", "--resume", "old", "--config", "tiny"))
    assert "--resume gone: no such folder" in refused(kithara("train", "standin", "--resume", "gone"))
    Path("empty").mkdir()
    assert "empty/config.toml" in refused(kithara("train", "standin", "--resume", "empty"))


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("epoch = 1", ["own.toml", "unknown field `epoch`"]),
        ("[optim]\nmomentum = 1", ["own.toml", "optim", "unknown field `momentum`"]),
        ("[optim]\nlr = -1.0", ["own.toml", "optim.lr", "> 0"]),
        ("epochs = 'many'", ["own.toml", "epochs", "Expected `int`, got `str`"]),
        ("epochs = ", ["own.toml", "not a TOML file"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_file_and_field(kithara, standin, toml, expected):
    (standin / "own.toml").write_text(toml)
    line = refused(kithara("train", "standin", "--config", "own.toml"))
    for words in expected:
        assert words in line


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["standin", "--optim.lr", "-1"], ["optim.lr", "> 0"]),
        (["standin", "--optim.lr", "much"], ["--optim.lr", "'much'"]),
        (["standin", "--optim.rate", "1"], ["--optim.rate", "kithara train --help"]),
        (["standin", "--config", "huge"], ["--config huge", "long, tiny"]),
        (["standin", "--data", "absent"], ["--data (or KITHARA_DATA) absent", "no such folder"]),
        (["standin", "--command", "rm"], ["--command"]),
        (["sitar"], ["no system named 'sitar'", "standin"]),
        (["--config", "tiny"], ["name the system first", "standin"]),
        ([], ["name the system first", "standin"]),
    ],
)
def test_a_wrong_flag_is_one_line_that_names_it(kithara, standin, argv, expected):
    line = refused(kithara("train", *argv))
    for words in expected:
        assert words in line
    assert not Path("runs").exists()


def test_help_after_the_system_lists_its_fields_with_the_values_of_the_file(kithara, standin):
    ran = kithara("train", "standin", "--config", "long", "--help")
    assert ran.status == 0
    assert "--optim.lr FLOAT" in ran.out
    assert "(default: 100)" in ran.out


def test_under_torchrun_one_process_answers(kithara, standin, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    ran = kithara("train", "standin", "--json")
    assert (ran.status, ran.out) == (0, "")


def test_as_a_program_it_exits_with_the_status():
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "train", "sitar"], capture_output=True, text=True, env=os.environ
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("kithara train: no system named 'sitar'; known:")
    assert ran.stderr.count("\n") == 1

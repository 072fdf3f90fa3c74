"""``kithara models``: on a repository with two versions of a tiny model."""

import json
from pathlib import Path

import pytest

from contracts.models import AudioInput


@pytest.fixture
def root(doubler, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository, named by the environment."""
    doubler.publish()
    monkeypatch.setenv("KITHARA_MODELS", str(doubler.root))
    return doubler.root


def test_list(kithara, root):
    ran = kithara("models", "list", "--json")
    assert json.loads(ran.out) == {
        "folder": str(root),
        "models": [
            {
                "name": "doubler",
                "versions": [1, 2],
                "aliases": {},
                "version": 2,
                "use": "open",
                "description": "Doubles two numbers.",
            }
        ],
    }
    assert "doubler" in kithara("models", "list").out


def test_the_flag_wins_over_the_environment(kithara, root, tmp_path_factory):
    empty = str(tmp_path_factory.mktemp("empty"))
    assert json.loads(kithara("models", "list", "--models", empty, "--json").out) == {"folder": empty, "models": []}


def test_alias_then_list_then_show(kithara, root):
    ran = kithara("models", "alias", "doubler", "stable", "1")
    assert (ran.status, ran.out) == (0, "doubler@stable is now version 1\n")
    assert json.loads(kithara("models", "list", "--json").out)["models"][0]["aliases"] == {"stable": 1}
    assert json.loads(kithara("models", "show", "doubler@stable", "--json").out)["version"] == 1
    assert json.loads(kithara("models", "show", "doubler", "--json").out)["version"] == 2
    assert kithara("models", "alias", "doubler", "default", "1").status == 0
    assert json.loads(kithara("models", "show", "doubler", "--json").out)["version"] == 1


def test_an_alias_of_a_version_that_is_none_changes_nothing(kithara, root):
    ran = kithara("models", "alias", "doubler", "stable", "7")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert json.loads(kithara("models", "list", "--json").out)["models"][0]["aliases"] == {}


@pytest.mark.parametrize("ref", ["tripler", "doubler@3", "doubler@best"])
def test_show_of_what_is_not_there_is_one_line(kithara, root, ref):
    ran = kithara("models", "show", ref)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ref.partition("@")[0] in ran.err


def test_show_for_people_has_the_caveats(kithara, root, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert "Knows two numbers only." in kithara("models", "show", "doubler").out


def test_an_embedding_of_sound_which_has_no_labels(kithara, root, doubler):
    doubler.publish(
        name="ears", task="music-embedding", labels=(), metrics=(), audio=AudioInput(sample_rate=16_000, window=2)
    )
    listed = json.loads(kithara("models", "list", "--json").out)["models"]
    assert [one["name"] for one in listed] == ["doubler", "ears"]
    assert json.loads(kithara("models", "show", "ears", "--json").out)["audio"] == {"sample_rate": 16_000, "window": 2}
    shown = kithara("models", "show", "ears").out
    assert "16000" in shown
    assert "music-embedding" in shown
    assert kithara("models", "check").status == 0


def test_check_of_a_sound_repository(kithara, root):
    ran = kithara("models", "check", "--json")
    assert ran.status == 0, ran.err
    checked = [{"model": f"doubler@{n}", "ok": True, "reason": None} for n in (1, 2)]
    assert json.loads(ran.out) == {"folder": str(root), "models": checked}


def test_check_says_which_version_is_broken_and_fails(kithara, root, doubler):
    doubler.publish(factor=2.5)
    graph_file = root / "doubler" / "1" / "model.onnx"
    graph_file.write_bytes(graph_file.read_bytes()[:-1])
    ran = kithara("models", "check", "--json")
    assert ran.status == 2
    checked = {one["model"]: one for one in json.loads(ran.out)["models"]}
    assert {name: one["ok"] for name, one in checked.items()} == {
        "doubler@1": False,
        "doubler@2": True,
        "doubler@3": False,
    }
    assert "model.onnx" in checked["doubler@1"]["reason"]
    assert "'y'" in checked["doubler@3"]["reason"]
    assert ran.err.splitlines()[-1].startswith("kithara models check: doubler@1, doubler@3: ")


def test_check_of_an_empty_repository_fails(kithara, tmp_path):
    ran = kithara("models", "check", "--models", str(tmp_path))
    assert ran.status == 2
    assert "kithara export" in ran.err


def test_a_repository_that_is_none(kithara, tmp_path):
    ran = kithara("models", "list", "--models", str(tmp_path / "absent"))
    assert ran.status == 2
    assert (
        ran.err
        == f"kithara models list: --models {tmp_path / 'absent'}: no such folder; give the path of an existing one\n"
    )

"""The wording as data: digests, presets, other ladder files."""

from pathlib import Path

import pytest

from common.errors import OperatorError
from llm_studies.bloomwise import prompts

OWN = """
version = 7
[presets]
short = ["looking"]
[levels]
looking = "Look."
leaping = "Leap."
"""


def test_the_packaged_ladder_has_the_levels_of_the_taxonomy() -> None:
    wording = prompts.load()
    assert wording.names("v2") == wording.names("default") == tuple(wording.ladder.levels)[:5]
    assert wording.names("v1") == tuple(wording.ladder.levels)[:4]
    assert [wording.names("v2")[0], wording.names("v2")[-1], wording.names("v1")[-1]] == [
        "remembering",
        "evaluating",
        "analyzing",
    ]


def test_another_ladder_file_has_another_digest(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    own = prompts.load(file)
    assert own.names("short") == ("looking",)
    assert own.names(("leaping", "looking")) == ("leaping", "looking")
    packaged = prompts.load()
    assert own.levels_digest != packaged.levels_digest
    assert own.baselines_digest == packaged.baselines_digest
    with pytest.raises(OperatorError, match="no level 'flying'"):
        own.names(("flying",))
    with pytest.raises(OperatorError, match="no preset 'v2'"):
        own.names("v2")


@pytest.mark.parametrize(("old", "new"), [("version = 7", ""), ("[presets]", "[preset]"), ("Look.", "\n")])
def test_a_ladder_file_that_is_none_is_named(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(OperatorError, match=r"bad\.toml"):
        prompts.load(file)
    with pytest.raises(OperatorError, match=r"none\.toml"):
        prompts.load(tmp_path / "none.toml")


def test_a_value_is_never_read_as_a_template() -> None:
    assert prompts.fill("{a} and {b}, {c}", a="{b}", b="{a}") == "{b} and {a}, {c}"

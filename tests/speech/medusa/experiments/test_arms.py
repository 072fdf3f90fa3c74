"""Every arm leaves out one thing and nothing else."""

from typing import Any

import msgspec
import pytest

from speech.medusa.config import Config
from speech.medusa.experiments.arms import ARMS, FULL, LATE, NO_ATTRIBUTES, NO_MIXUP, ONE_HOT, ONE_STAGE

CHANGED: dict[str, dict[str, Any]] = {
    FULL: {},
    LATE: {"model.fusion": "late"},
    ONE_HOT: {"data.targets": "one_hot"},
    NO_MIXUP: {"mixup.p": 0.0},
    NO_ATTRIBUTES: {"weights.attributes": 0.0},
    ONE_STAGE: {},
}


def flat(value: Any, at: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {at: value}
    return {name: leaf for key, part in value.items() for name, leaf in flat(part, f"{at}.{key}".strip(".")).items()}


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_changes_one_setting(arm: str) -> None:
    config = Config()
    before, after = (flat(msgspec.to_builtins(c)) for c in (config, ARMS[arm].change(config)))
    assert before.keys() == after.keys()
    assert {name: after[name] for name in after if after[name] != before[name]} == CHANGED[arm]


def test_one_arm_alone_skips_the_balanced_subsets() -> None:
    assert [arm for arm, kind in ARMS.items() if not kind.balanced] == [ONE_STAGE]

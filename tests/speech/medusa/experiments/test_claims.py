"""The command from end to end at a size of seconds; what it finds is asserted nowhere."""

from pathlib import Path

import msgspec
import pytest

from common.claims.report import FIGURE, RESULTS
from common.errors import OperatorError
from contracts.claims import ClaimsReport
from speech.medusa import claims as module
from speech.medusa.claims import FULL, FULL_RECORDED, QUICK, QUICK_RECORDED, Plan, claims, possible
from speech.medusa.experiments.conditions import META, conditions
from speech.medusa.experiments.figures import FIGURE as CLASSES
from speech.medusa.experiments.tasks import Task
from speech.medusa.study import Study

COMMAND = "kithara claims medusa --quick"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tasks: tuple[Task, ...]) -> None:
    monkeypatch.setattr(module, "QUICK", Plan(2, tasks))


def test_measures_every_condition_under_every_seed_and_repeats(
    tiny: None, tasks: tuple[Task, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    report = claims(quick=True, data=None, seeds=None, out=out, command=COMMAND)
    wanted = {
        (task.name, name, seed)
        for task in tasks
        for name in conditions(Study(task, 2, None, tmp_path))
        for seed in (0, 1)
    }
    assert {(row.data, row.condition, row.seed) for row in report.rows} == wanted
    assert len(report.rows) == len(wanted)
    for row in report.rows:
        assert sum(name.startswith("f1_") for name in row.values) == 8
        assert all(0 <= value <= 1 for value in row.values.values())
    assert {claim.seeds for claim in report.claims} == {2}
    assert {claim.data for claim in report.claims} == {"synthetic", "synthetic, mixtures"}
    assert msgspec.json.decode(msgspec.json.encode(report), type=ClaimsReport) == report
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["out", RESULTS, FIGURE, CLASSES])
    text = (out / RESULTS).read_text("utf-8")
    for figure in (FIGURE, CLASSES):
        assert f"({figure})" in text
    assert "MSP-Podcast" in text.split("Scale:")[1].splitlines()[0]
    again = module.measure(Study(tasks[1], 2, None, tmp_path), 2)
    assert again == tuple(row for row in report.rows if row.data == tasks[1].name)


def test_one_seed_is_refused_before_any_training() -> None:
    with pytest.raises(OperatorError, match="--seeds 2"):
        claims(quick=True, data=None, seeds=1, out=None, command=COMMAND)


def test_a_data_folder_without_the_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="emodb"):
        claims(quick=True, data=tmp_path, seeds=2, out=None, command=COMMAND)


def test_made_speech_is_left_out_and_told_where_its_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise OperatorError("not installed")

    monkeypatch.setattr(module, "version", missing)
    plan = possible(FULL)
    assert [task.name for task in plan.tasks] == ["synthetic", "synthetic, mixtures"]
    assert "espeak-ng is not installed" in module.described(plan)
    assert possible(QUICK) == QUICK
    monkeypatch.setattr(module, "version", lambda: "1.51")
    assert possible(FULL) == FULL


def test_at_least_three_seeds_and_every_set() -> None:
    assert min(plan.seeds for plan in (QUICK, FULL, QUICK_RECORDED, FULL_RECORDED)) >= 3
    assert [task.name for task in FULL.tasks] == ["synthetic", "synthetic, mixtures", "espeak"]
    assert [task.name for task in FULL_RECORDED.tasks] == ["emodb", "ravdess", "nemo"]
    assert all(META in conditions(Study(task, 2, None, Path())) for task in FULL_RECORDED.tasks)


def test_the_scale_tells_updates_members_and_splits() -> None:
    told = module.described(FULL_RECORDED)
    for task in FULL_RECORDED.tasks:
        assert f"{task.name}: {len(task.config.members)} members (statistics+mel, " in told
        assert f"{task.updates.first} + {task.updates.second} updates" in told
    assert told.count("each seed tests other speakers") == 1
    assert "RAVDESS and nEMO" in module.described(QUICK_RECORDED)

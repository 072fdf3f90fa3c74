"""The machinery of the claims; what they find is measured by the command and asserted nowhere."""

from pathlib import Path

import msgspec
import pytest

from common.claims.report import FIGURE, RESULTS
from common.errors import OperatorError
from common.system import system
from contracts.claims import ClaimsReport
from llm_studies.bloomwise import claims as module
from llm_studies.bloomwise import replay
from llm_studies.bloomwise.claims import CLAIMS, Scale, claims
from llm_studies.bloomwise.data import recorded
from llm_studies.bloomwise.simulated import CONVERGE, MATCHED, WORLDS, conditions


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", Scale(seeds=2, items=12, programmes=5))
    for variable, _ in (replay.LOG_FILE, replay.POT_FILE):
        monkeypatch.delenv(variable, raising=False)


def test_every_condition_is_measured_under_every_seed(tiny: None, tmp_path: Path) -> None:
    report = claims(quick=True, data=None, seeds=None, out=tmp_path, command="kithara claims bloomwise --quick")
    for name, rho in WORLDS.items():
        here = [row for row in report.rows if row.data == f"simulated solver, {name}"]
        assert {(row.condition, row.seed) for row in here} == {(c, s) for c in conditions(rho, 1) for s in (0, 1)}
        calls = {(row.condition, row.seed): row.values["calls"] for row in here}
        for seed in (0, 1):
            assert calls[CONVERGE, seed] == calls[MATCHED, seed] >= 2
    assert {one.claim for one in report.claims} == {one.claim for one in CLAIMS}
    assert msgspec.json.decode(msgspec.json.encode(report), type=ClaimsReport) == report
    text = (tmp_path / RESULTS).read_text()
    assert "say nothing about any language model" in text
    assert (tmp_path / FIGURE).exists()


def test_claims_compare_conditions_that_exist() -> None:
    known = conditions(0.0, 1)
    for claim in CLAIMS:
        assert {claim.method[0], claim.control[0]} <= known.keys()


def test_a_seed_fixes_every_figure() -> None:
    first, again = ({name: measure(3) for name, measure in conditions(0.5, 10).items()} for _ in range(2))
    assert first == again


def test_data_adds_exact_replays(tiny: None, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sets, "recorded", lambda data: recorded(data)[:40])
    for variable, _ in (replay.LOG_FILE, replay.COT_FILE, replay.POT_FILE):
        monkeypatch.delenv(variable, raising=False)
    rows = module.replays(data, 3)
    assert [row.data for row in rows] == [replay.SOLUTIONS] * 8 + [replay.GSM_HARD]
    assert rows[-1].values == {"agrees with gold": 3, "without an answer": 0}


def test_one_seed_is_refused() -> None:
    with pytest.raises(OperatorError, match="--seeds 2"):
        claims(quick=True, data=None, seeds=1, out=None, command="kithara claims bloomwise --seeds 1")


def test_a_data_folder_without_the_set_is_refused(tiny: None, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="math_word_problems"):
        claims(quick=True, data=tmp_path, seeds=2, out=None, command="kithara claims bloomwise")


def test_the_suite_finds_the_system() -> None:
    found = system("bloomwise")
    assert found.load("claims") is claims
    assert found.domain == "llm_studies"

"""What is told about a running study."""

import pytest

from contracts.llm import Usage
from deploy.commands.study_progress import Shown, said, span
from llm_studies.llm.run import Progress

NOTHING = Usage(prompt_tokens=0, completion_tokens=0)
BEGUN = Progress(
    done=3, failed=1, total=10, paid=7, usage=NOTHING, cost=0.126, currency="EUR", eta=75.4
)  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (3540, "59 min"), (3600, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_spans_are_readable(seconds, words):
    assert span(seconds) == words


def test_calls_failures_cost_and_time_left_are_told():
    assert said(BEGUN) == "7 calls, 1 failed, 0.13 EUR, at most 75 s left"
    assert said(BEGUN._replace(failed=0, cost=None, eta=None)) == "7 calls"
    assert said(BEGUN._replace(done=10, failed=0)) == "7 calls, 0.13 EUR"


def test_without_a_terminal_there_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr("deploy.commands.study_progress.time.monotonic", lambda: next(clock))
    with Shown("priors") as shown:
        shown(BEGUN)
        shown(BEGUN)
        shown(BEGUN._replace(done=10, failed=0))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["3 of 10 jobs", "10 of 10 jobs"]


def test_on_a_terminal_there_is_a_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Shown("priors") as shown:
        shown(BEGUN)
    told = capsys.readouterr().err
    assert "3/10" in told
    assert "75 s left" in told

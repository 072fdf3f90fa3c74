import pytest

from common.errors import OperatorError
from llm_studies.llm.bench import rivals, runner


def row(name: str, per_second: float, latency: float = 5.0, growth: float | None = None) -> runner.Row:
    return runner.Row(runner=name, latency_ms=latency, calls=1, per_second=per_second, growth_mb=growth)  # pyright: ignore


def test_a_whole_study_is_measured_against_the_benchs_own_server() -> None:
    with runner._core() as core, runner._server(0.001, core) as url:
        found = runner._kithara(url, 0.001, 200)
        library = runner.run_loop(rivals.library(url, 20, 4))
    assert found.calls == 200
    assert 0 < found.per_second < 64 / 0.001
    assert 0 < library < 4 / 0.001


def test_targets_are_the_issues_figures() -> None:
    rows = [
        row("kithara", 230.4, 250.0, growth=51.0),
        row("kithara", 1000.0),
        row("openai client", 1200.0),
        row("lm-evaluation-harness", 600.0),
    ]
    share, growth, library, harness = runner._targets(rows)
    assert (share.value, share.met) == (pytest.approx(0.9), True)
    assert (growth.value, growth.met) == (51.0, False)
    assert (library.value, library.met) == (pytest.approx(0.8333, abs=1e-4), False)
    assert (harness.value, harness.met) == (pytest.approx(1.6667, abs=1e-4), True)


def test_an_interpreter_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(rivals.VARIABLE, "/nowhere/python")
    with pytest.raises(OperatorError, match=r"/nowhere/python: no such file; make an environment"):
        rivals.harness_python()
    monkeypatch.delenv(rivals.VARIABLE)
    assert rivals.harness_python() is None

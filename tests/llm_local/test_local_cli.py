"""What a person types, against a real inference server: probe, both studies, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from contracts.llm import Honoured, Plan, Profile
from contracts.studies import StudyReport
from deploy.cli import main

BLOOMWISE = """\
methods = ["cot", "pot"]
repeat_control = 2
decoding = { text = 24, programme = 24, verdict = 16 }
bootstrap = { rounds = 100 }

[[data]]
items = 20

[ladders.main]
levels = "v1"
verdicts = true

[ladders.cumulative]
levels = ["applying", "analyzing"]
context = "cumulative"
"""
SAMPLED = """\
methods = ["self_consistency_matched"]
decoding = { text = 24 }
bootstrap = { rounds = 100 }

[[data]]
items = 2

[ladders.main]
levels = ["applying", "analyzing"]
"""
PRIORS = """\
rounds = 100
shuffles = 10

[data.generated]
train = 40
dev = 6
test = 20

[grid]
conditions = ["icl", "prior:zero", "prior-prompt:labels"]
shots = [2]
seeds = [0, 1]
label_seeds = [0]
max_tokens = 12
"""


class Ran(NamedTuple):
    """What one command line did."""

    status: int
    out: str
    err: str


@pytest.fixture
def kithara(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """``kithara("llm", ...)`` in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KITHARA_DATA", raising=False)

    def run(*argv: str) -> Ran:
        status = main(argv)
        return Ran(status, *capfd.readouterr())

    return run


def written(study: str, server: Profile) -> tuple[str, ...]:
    """Flags for a study file whose profile names the model at another address, and where it really is."""
    Path("study.toml").write_text(
        f'{study}\n[profile]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "{server.model}"\nconcurrency = 4\n'
    )
    return ("--config", "study.toml", "--base-url", server.base_url, "--out", "run")


def test_probe(kithara: Callable[..., Ran], greedy: Profile) -> None:
    Path("profile.toml").write_text(f'base_url = "{greedy.base_url}"\nmodel = "{greedy.model}"\n')
    ran = kithara("llm", "probe", "--profile", "profile.toml", "--out", "probe.json", "--json")
    assert ran.status == 0, ran.err
    found = msgspec.json.decode(ran.out, type=Honoured)
    assert msgspec.json.decode(Path("probe.json").read_bytes(), type=Honoured) == found
    assert (found.model, found.deterministic, found.temperature, found.usage) == (greedy.model, True, False, True)


@pytest.mark.parametrize(("word", "study"), [("bloomwise", BLOOMWISE), ("priors", PRIORS)])
def test_a_study_from_plan_to_report(kithara: Callable[..., Ran], greedy: Profile, word: str, study: str) -> None:
    flags = ("study", word, *written(study, greedy))
    planned = kithara(*flags, "--plan", "--json")
    assert planned.status == 0, planned.err
    plan = msgspec.json.decode(planned.out, type=Plan)
    ran = kithara(*flags, "--json")
    assert ran.status == 0, ran.err
    answer = json.loads(ran.out)
    report = msgspec.json.decode(Path("run/report.json").read_bytes(), type=StudyReport)
    assert msgspec.convert(answer["report"], StudyReport) == report
    assert 0 < answer["outcome"]["paid"] == report.calls <= plan.calls
    assert report.usage.completion_tokens <= plan.completion_tokens
    assert greedy.model in report.model
    assert report.warnings  # of replies without an answer
    made = {file.name: file.read_bytes() for file in Path("run").glob("*.*")}
    assert {"report.json", "report.md", "report.html", "predictions.jsonl", "probe.json", "plan.json"} <= set(made)
    again = kithara(*flags, "--json")
    assert (again.status, json.loads(again.out)["outcome"]["paid"]) == (0, 0), again.err
    assert {name: (Path("run") / name).read_bytes() for name in made if name != "plan.json"} == {
        name: content for name, content in made.items() if name != "plan.json"
    }


def test_a_study_that_samples(kithara: Callable[..., Ran], greedy: Profile, sampling: Profile) -> None:
    """Refused in one line where the server ignores temperature; run to its second stage where it does not."""
    ran = kithara("study", "bloomwise", *written(SAMPLED, greedy))
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1), ran.err
    assert "temperature" in ran.err
    assert not Path("run/report.json").exists()
    ran = kithara("study", "bloomwise", *written(SAMPLED, sampling)[:-1], "sampled", "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out)["outcome"]["stages"] == 2


def test_a_cap_that_a_byte_level_vocabulary_reaches_in_mid_run(kithara: Callable[..., Ran], greedy: Profile) -> None:
    """Our estimate is a third of what this server counts, so a cap above the plan is still too low (10 G)."""
    Path("prices.toml").write_text(f'[models."{greedy.model}"]\nprompt = 1.0\ncompletion = 0.0\n')
    flags = ("study", "bloomwise", *written(BLOOMWISE, greedy), "--prices", "prices.toml", "--json")
    cap = 1.2 * json.loads(kithara(*flags, "--plan").out)["cost"]
    written(f"{BLOOMWISE}\n[limits]\ncost = {cap}\n", greedy)
    ran = kithara(*flags)
    assert ran.status == 2, ran.err
    assert "reached its limits; raise [limits]" in ran.err.splitlines()[-1]
    assert 0.8 * cap < json.loads(ran.out)["outcome"]["cost"] <= cap
    report = msgspec.json.decode(Path("run/report.json").read_bytes(), type=StudyReport)
    items = int(report.warnings[0].removeprefix("Partial report of ").split()[0])
    assert report.warnings[0].startswith(f"Partial report of {items} of 20 items")
    assert 0 < items < 20
    assert f"{items} of generated" in report.scale
    written(BLOOMWISE, greedy)
    assert kithara(*flags).status == 0
    assert "Partial report" not in Path("run/report.md").read_text()

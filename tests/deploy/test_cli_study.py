"""``kithara study`` over real HTTP: plan, run, resume, shards, merge; what is wrong is said before anything is paid."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import uvicorn

from contracts.llm import ChatRequest, Honoured, Plan
from contracts.studies import AnswerPrediction, LabelPrediction, StudyReport
from deploy.commands.llm import Simulate
from deploy.commands.study_file import chosen, text
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.llm.ask import CallFailed
from llm_studies.llm.attempts import Purse
from llm_studies.llm.client import Called, Client

PRIORS = """\
rounds = 100
shuffles = 10

[data.generated]
train = 40
dev = 8
test = 40

[grid]
conditions = ["icl", "prior:distribution", "prior-prompt:labels"]
shots = [5]
seeds = [0, 1, 2]
"""
BLOOMWISE = """\
methods = ["cot", "self_consistency_matched"]
repeat_control = 2

[bootstrap]
rounds = 100

[[data]]
items = 6
"""
KINDS = {"priors": ("respondent", PRIORS), "bloomwise": ("solver", BLOOMWISE)}

PREDICTED = {
    # Three runs of 8 queries for each condition, and three own priors of these and of the 5 texts shown.
    "priors": (LabelPrediction, 3 * 3 * 8 + 3 * (8 + 5)),
    # Five levels, the ladder and two methods on each problem, and two levels asked twice.
    "bloomwise": (AnswerPrediction, 6 * (5 + 1 + 2) + 2 * 2),
}


class Served:
    """The application of ``kithara llm simulate`` with these flags, on a real port, in a thread of this process."""

    def __init__(self, *flags: str) -> None:
        self.app = Simulate.read(flags, "kithara llm simulate").app()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, access_log=False, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]})
        self._thread.start()

    def stats(self) -> dict[str, Any]:
        return msgspec.to_builtins(self.app.stats())

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listening.close()


class Desk(NamedTuple):
    """A study file, a profile of a running simulator, and the folder that both are in."""

    word: str
    folder: Path
    simulated: Served

    def flags(self, **more: str) -> list[str]:
        """Of the study, with the given flags in place of these."""
        given = {"config": "study.toml", "profile": "profile.toml", "out": "run"} | more
        return ["study", self.word, *(word for name, value in given.items() for word in (f"--{name}", value))]

    @property
    def calls(self) -> int:
        """Completions that the server was asked for."""
        return self.simulated.stats()["calls"]

    def write(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content)
        return name


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Desk]]:
    """``desk("priors", *flags of the simulator)``; its folder is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KITHARA_DATA", raising=False)
    started: list[Served] = []

    def make(word: str = "priors", *flags: str) -> Desk:
        kind, study = KINDS[word]
        (tmp_path / "study.toml").write_text(study)
        started.append(Served("--kind", kind, "--study", str(tmp_path / "study.toml"), *flags))
        (tmp_path / "profile.toml").write_text(profile(started[-1].url))
        return Desk(word, tmp_path, started[-1])

    yield make
    for one in started:
        one.close()


def profile(url: str, model: str = "simulated", more: str = "") -> str:
    return f'base_url = "{url}"\nmodel = "{model}"\nattempts = 2\ndeadline = 3.0\n{more}'


def probed(folder: str, url: str) -> None:
    """The run folder has a record of an honest server: one that counts wrongly shows it only while the study runs."""
    good = dict.fromkeys(("deterministic", "temperature", "seed", "stop", "stop_stripped", "n", "logprobs"), True)
    good |= dict.fromkeys(("usage", "max_tokens", "system_role"), True)
    Path(folder).mkdir()
    found = Honoured(base_url=url, model="simulated", created="2026-01-01T00:00:00+00:00", calls=14, **good)
    Path(folder, "probe.json").write_bytes(msgspec.json.encode(found))


def report_files(folder: Path) -> dict[str, bytes]:
    names = ("report.json", "report.md", "report.html", "predictions.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("word", KINDS)
def test_plan_run_and_rerun(kithara, desk, word):
    at = desk(word)
    planned = kithara(*at.flags(), "--plan", "--json")
    assert planned.status == 0, planned.err
    plan = msgspec.json.decode(planned.out, type=Plan)
    assert (plan.known, plan.cost, at.calls) == (0, None, 0)
    assert not Path("run").exists()

    first = kithara(*at.flags(), "--json")
    assert first.status == 0, first.err
    run = json.loads(first.out)
    report = msgspec.convert(run["report"], StudyReport)
    probe = json.loads(Path("run/probe.json").read_text())
    assert 0 < report.calls == run["outcome"]["paid"] <= plan.calls
    assert at.calls == report.calls + probe["calls"]
    assert "jobs, " in first.err
    assert msgspec.json.decode(Path("run/report.json").read_bytes(), type=StudyReport) == report
    line, count = PREDICTED[word]
    rows = [msgspec.json.decode(row, type=line) for row in Path("run/predictions.jsonl").read_bytes().splitlines()]
    assert len(rows) == count

    made, asked = report_files(Path("run")), at.calls
    again = kithara(*at.flags())
    assert again.status == 0, again.err
    assert "0 calls paid" in again.out
    assert at.calls == asked
    assert report_files(Path("run")) == made

    reported = kithara("study", "report", "run", "--json")
    assert reported.status == 0, reported.err
    assert msgspec.json.decode(reported.out, type=StudyReport) == report
    assert report_files(Path("run")) == made


def test_a_price_file_puts_the_cost_into_plan_and_report(kithara, desk):
    at = desk()
    at.write("prices.toml", 'currency = "EUR"\n[models.simulated]\nprompt = 10.0\ncompletion = 1000.0\n')
    plan = json.loads(kithara(*at.flags(prices="prices.toml"), "--plan", "--json").out)
    assert plan["cost"] == pytest.approx((10 * plan["prompt_tokens"] + 1000 * plan["completion_tokens"]) / 1e6)
    assert "EUR" in kithara(*at.flags(prices="prices.toml"), "--plan").out
    ran = kithara(*at.flags(prices="prices.toml"))
    assert ran.status == 0, ran.err
    report = json.loads(Path("run/report.json").read_text())
    used = report["usage"]
    assert report["currency"] == "EUR"
    assert report["cost"] == pytest.approx((10 * used["prompt_tokens"] + 1000 * used["completion_tokens"]) / 1e6)
    assert f"{report['cost']:.2f} EUR" in ran.err


def test_the_answer_shows_the_first_table_and_where_the_page_is(kithara, desk):
    ran = kithara(*desk("bloomwise").flags())
    assert ran.status == 0, ran.err
    assert "cot" in ran.out
    assert "run/report.html" in ran.out
    assert Path("run/report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("word", KINDS)
def test_shards_merge_to_the_same_bytes(kithara, desk, word):
    at = desk(word)
    assert kithara(*at.flags()).status == 0
    for i in range(2):
        part = kithara(*at.flags(out=f"part{i}"), "--shard", f"{i}/2")
        assert part.status == 0, part.err
        assert "merge" in part.out
        assert not Path(f"part{i}/report.json").exists()
    asked = at.calls
    merged = kithara("study", "merge", "part0", "part1", "--out", "merged")
    assert merged.status == 0, merged.err
    assert f"no report yet, replies are still missing; ask for them with: kithara study {word} --config" in merged.out
    assert at.calls == asked
    assert not Path("merged/report.json").exists()
    again = kithara("study", "merge", "part0", "part1", "--out", "again", "--json")
    assert (again.status, json.loads(again.out)["report"]) == (0, None)
    # A script goes on with what `--help` says, and its exit status is 0 only when the report was made.
    assert kithara(*at.flags(out="merged")).status == 0
    assert report_files(Path("merged")) == report_files(Path("run"))
    whole = kithara("study", "merge", "merged", "--out", "whole", "--json")
    assert (whole.status, json.loads(whole.out)["report"] is not None) == (0, True)
    assert report_files(Path("whole")) == report_files(Path("run"))


def test_a_merge_of_a_shard_that_is_still_running_is_refused(kithara, desk):
    at = desk()
    assert kithara(*at.flags(out="part0"), "--shard", "0/2").status == 0
    with Path("part0/calls/.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused(kithara("study", "merge", "part0", "--out", "merged"), "part0", "another process is running this study")
    refused(kithara("study", "merge", "part0", "part0", "--out", "merged"), "are one folder", "name each shard once")
    assert not Path("merged").exists()


def test_a_plan_counts_what_its_folder_has_paid(kithara, desk):
    """Half of the calls are paid for: what is left is within the limits, both together are not."""
    at = desk()
    at.write("prices.toml", "[models.simulated]\nprompt = 1.0\ncompletion = 1.0\n")
    flags = at.flags(prices="prices.toml")
    assert kithara(*flags, "--shard", "0/2").status == 0
    left = json.loads(kithara(*flags, "--plan", "--json").out)
    assert 0 < left["known"] < left["calls"]
    for limit in (f"cost = {1.01 * left['cost']}", f"calls = {left['calls'] - left['known']}"):
        at.write("study.toml", f"{PRIORS}\n[limits]\n{limit}\n")
        planned, ran = kithara(*flags, "--plan"), kithara(*flags)
        assert (planned.status, ran.status) == (2, 2)
        assert planned.err.splitlines()[-1] == ran.err.splitlines()[-1]
        assert "its limit is" in planned.err.splitlines()[-1]
    at.write("study.toml", f"{PRIORS}\n[limits]\ncalls = {left['calls']}\n")
    assert kithara(*flags, "--plan").status == 0


def test_reuse_pays_nothing_again(kithara, desk):
    at = desk()
    assert kithara(*at.flags()).status == 0
    asked = at.calls
    other = kithara(*at.flags(out="other"), "--reuse", "run")
    assert other.status == 0, other.err
    assert "0 calls paid" in other.out
    assert report_files(Path("other")) == report_files(Path("run"))
    assert at.calls == asked


def test_a_run_killed_in_the_middle_of_500_calls_resumes_without_paying_twice(desk, kithara, monkeypatch):
    monkeypatch.setitem(KINDS, "priors", ("respondent", PRIORS.replace("dev = 8", "dev = 46")))
    Path("slow.toml").write_text("[server]\nlatency = 0.02\n")
    at = desk("priors", "--config", "slow.toml")
    command = [sys.executable, "-m", "deploy.cli", *at.flags()]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    until = time.monotonic() + 30
    while journal_rows() < 250 and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 250 <= journal_rows() < 500
    again = kithara(*at.flags(), "--json")
    assert again.status == 0, again.err
    stats, run = at.simulated.stats(), json.loads(again.out)
    probe = json.loads(Path("run/probe.json").read_text())
    # What was under way at the kill is asked again under its own key, and is not billed again.
    assert stats["keys"] == run["report"]["calls"] >= 500
    assert stats["billed"] == run["report"]["calls"] + probe["calls"]
    assert kithara(*at.flags(out="whole")).status == 0
    assert report_files(Path("run")) == report_files(Path("whole"))


def test_faults_lose_and_double_nothing(kithara, desk):
    Path("faults.toml").write_text(
        "attempts = 2\nretry_after = 0.05\nshares = {rate_limit = 0.1, server_error = 0.05, dropped = 0.05}\n"
    )
    at = desk("priors", "--faults", "faults.toml")
    at.write("profile.toml", profile(at.simulated.url).replace("attempts = 2\ndeadline = 3.0", "attempts = 8"))
    assert kithara(*at.flags()).status == 0
    stats = at.simulated.stats()
    assert sum(stats["faults"].values()) > 5
    assert stats["keys"] == json.loads(Path("run/report.json").read_text())["calls"]


def test_failed_calls_are_status_2_and_the_same_command_finishes(kithara, desk):
    Path("faults.toml").write_text("attempts = 2\nshares = {empty = 0.3}\n")
    at = desk("priors", "--faults", "faults.toml")
    ran = kithara(*at.flags())
    assert ran.status == 2
    assert "calls failed; run the same command again" in ran.err.splitlines()[-1]
    for _ in range(3):
        if (ran := kithara(*at.flags())).status == 0:
            break
    assert ran.status == 0, ran.err


def test_failed_calls_leave_a_partial_report_until_the_study_is_whole(kithara, desk, monkeypatch):
    at = desk("priors")
    bad = generate(0, Sizes(40, 8, 40)).split("dev")[3].text
    call = Client.call

    async def failing(self: Client, request: ChatRequest, repeat: int, purse: Purse) -> Called:
        if f"Input: {bad}\n" in request.messages[-1].content:
            return Called(None, CallFailed("no"), 1, 0.0)
        return await call(self, request, repeat, purse)

    monkeypatch.setattr(Client, "call", failing)
    ran = kithara(*at.flags(), "--json")
    assert ran.status == 2
    assert "12 calls failed; run the same command again" in ran.err.splitlines()[-1]
    report = msgspec.json.decode(Path("run/report.json").read_bytes(), type=StudyReport)
    note = (
        "Partial report of 7 of 8 items, those whose replies are all there: 12 jobs failed; run the same command again."
    )
    assert report.warnings[0] == note
    assert report.scale.startswith("7 texts")
    assert msgspec.convert(json.loads(ran.out)["report"], StudyReport) == report
    assert note in Path("run/report.md").read_text()
    assert note in Path("run/report.html").read_text()
    monkeypatch.undo()
    monkeypatch.chdir(at.folder)
    assert kithara(*at.flags()).status == 0
    assert "Partial" not in Path("run/report.html").read_text()
    assert kithara(*at.flags(out="whole")).status == 0
    assert report_files(Path("run")) == report_files(Path("whole"))


SHARDS = ((), ("--shard", "0/2"), ("--shard", "1/2"))


def test_a_cap_reached_in_mid_run_leaves_a_partial_report(kithara, desk):
    Path("faults.toml").write_text("shares = {wrong_usage = 1.0}\n")
    at = desk("bloomwise", "--faults", "faults.toml")
    at.write("profile.toml", profile(at.simulated.url, more="concurrency = 1\n"))
    at.write("prices.toml", "[models.simulated]\nprompt = 1.0\ncompletion = 0.0\n")
    flags = at.flags(prices="prices.toml")
    plan = json.loads(kithara(*flags, "--plan", "--json").out)
    cap = 3 * plan["cost"]
    at.write("study.toml", f"{BLOOMWISE}\n[limits]\ncost = {cap}\n")
    probed("run", at.simulated.url)
    ran = kithara(*flags, "--json")
    assert ran.status == 2
    assert "reached its limits; raise [limits] and run the same command again" in ran.err.splitlines()[-1]
    outcome = json.loads(ran.out)["outcome"]
    assert 0.8 * cap < outcome["cost"] <= cap
    report = msgspec.json.decode(Path("run/report.json").read_bytes(), type=StudyReport)
    items = int(report.warnings[0].removeprefix("Partial report of ").split()[0])
    assert report.warnings[0].startswith(
        f"Partial report of {items} of 6 items, those whose replies are all there; without self_consistency_matched: "
    )
    assert 1 <= items <= 5
    assert f"{items} of generated" in report.scale
    assert report.cost is not None
    assert report.cost < outcome["cost"]
    anew = kithara("study", "report", "run", "--json")
    assert (anew.status, anew.err.count("\n")) == (2, 1)
    again = msgspec.json.decode(anew.out, type=StudyReport)
    assert again.warnings[0].startswith(f"Partial report of {items} of 6 items")
    assert (again.tables, again.usage) == (report.tables, report.usage)
    at.write("study.toml", BLOOMWISE)
    assert kithara(*flags).status == 0
    probed("whole", at.simulated.url)
    assert kithara(*at.flags(prices="prices.toml", out="whole")).status == 0
    assert report_files(Path("run")) == report_files(Path("whole"))


def test_a_shard_has_its_share_of_the_cap(kithara, desk):
    Path("faults.toml").write_text("shares = {wrong_usage = 1.0}\n")
    at = desk("bloomwise", "--faults", "faults.toml")
    at.write("prices.toml", "[models.simulated]\nprompt = 1.0\ncompletion = 0.0\n")
    at.write("profile.toml", profile(at.simulated.url, more="concurrency = 1\n"))
    flags = at.flags(prices="prices.toml")
    costs = [json.loads(kithara(*flags, *more, "--plan", "--json").out)["cost"] for more in SHARDS]
    assert costs[0] == pytest.approx(sum(costs[1:]))
    assert min(costs[1:]) > 0
    at.write("study.toml", f"{BLOOMWISE}\n[limits]\ncost = {2 * min(costs[1:]) - 1e-9}\n")
    for more in SHARDS[1:]:
        refused(kithara(*flags, *more), f"shard {more[1]} may cost", "its share (1/2) of the limit")
    cap = 2.5 * max(costs[1:])
    at.write("study.toml", f"{BLOOMWISE}\n[limits]\ncost = {cap}\n")
    spent = 0.0
    for i, more in enumerate(SHARDS[1:]):
        probed(f"part{i}", at.simulated.url)
        ran = kithara(*at.flags(prices="prices.toml", out=f"part{i}"), *more, "--json")
        assert ran.status == 2
        assert "reached its limits" in ran.err.splitlines()[-1]
        assert not Path(f"part{i}/report.json").exists()
        spent += json.loads(ran.out)["outcome"]["cost"]
    assert 0.5 * cap < spent <= cap


def journal_rows() -> int:
    return sum(file.read_bytes().count(b"\n") for file in Path("run/calls").glob("*.jsonl"))


def refused(ran: Any, *words: str) -> None:
    """One line, exit status 2."""
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1, ran.err
    for word in words:
        assert word in ran.err


def test_no_key(kithara, desk, monkeypatch):
    at = desk()
    monkeypatch.delenv("THE_KEY", raising=False)
    at.write("profile.toml", profile(at.simulated.url, more='api_key_env = "THE_KEY"\n'))
    refused(kithara(*at.flags()), "THE_KEY")
    assert at.calls == 0


def test_a_wrong_key_is_not_shown(kithara, desk, monkeypatch):
    monkeypatch.setenv("SERVER_KEY", "right")
    at = desk("priors", "--key-env", "SERVER_KEY")
    monkeypatch.setenv("THE_KEY", "wrong-and-secret")
    at.write("profile.toml", profile(at.simulated.url, more='api_key_env = "THE_KEY"\n'))
    ran = kithara(*at.flags())
    refused(ran, "401")
    assert "wrong-and-secret" not in ran.err
    assert "wrong-and-secret" not in "".join(file.read_text() for file in Path("run").rglob("*.*") if file.is_file())


def test_a_url_where_nobody_listens(kithara, desk):
    at = desk()
    at.write("profile.toml", profile("http://127.0.0.1:9/v1"))
    refused(kithara(*at.flags()), "127.0.0.1:9", "start it or correct the profile")
    refused(kithara(*at.flags(), "--base-url", "ftp://host/v1"), "--base-url", "base_url")


def test_an_unknown_model(kithara, desk):
    at = desk()
    at.write("profile.toml", profile(at.simulated.url, model="gpt-0"))
    refused(kithara(*at.flags()), "gpt-0", "404")
    assert at.simulated.stats()["billed"] == 0


def test_a_server_that_ignores_sampling(kithara, desk):
    Path("ignores.toml").write_text('[server]\nignore = ["sampling", "seed", "n"]\n')
    at = desk("bloomwise", "--config", "ignores.toml")
    refused(kithara(*at.flags()), "temperature", "single vote")
    assert at.simulated.stats()["keys"] == 0
    probe = json.loads(Path("run/probe.json").read_text())
    assert (probe["temperature"], probe["seed"], probe["n"], probe["stop"]) == (False, False, False, True)


def test_a_study_file_with_an_unknown_field(kithara, desk):
    at = desk()
    at.write("study.toml", f"{PRIORS}temperatur = 1.0\n")
    refused(kithara(*at.flags()), "study.toml", "grid", "temperatur")


def test_a_price_file_without_the_model(kithara, desk):
    at = desk()
    at.write("prices.toml", "[models.other]\nprompt = 1.0\ncompletion = 1.0\n")
    refused(kithara(*at.flags(prices="prices.toml")), "prices.toml", "simulated")
    assert at.calls == 0


@pytest.mark.parametrize("more", [(), ("--plan",)])
def test_a_cap_below_the_plan(kithara, desk, more):
    at = desk()
    at.write("prices.toml", "[models.simulated]\nprompt = 1.0\ncompletion = 1.0\n")
    at.write("study.toml", f"{PRIORS}\n[limits]\ncost = 0.001\n")
    ran = kithara(*at.flags(prices="prices.toml"), *more)
    assert ran.status == 2
    assert ran.err.count("\n") == 1
    assert "0.001" in ran.err
    assert at.calls == 0
    refused(kithara(*at.flags()), "limits.cost needs prices")


def test_a_label_outside_the_set(kithara, desk):
    at = desk("bloomwise")  # any simulator will do: nothing is asked
    rows = [{"id": "generated-dev-1", "labels": ["joy", "hunger"]}]
    at.write("reference.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    at.write("study.toml", f'reference = "reference.jsonl"\n{PRIORS}')
    refused(kithara(*Desk("priors", at.folder, at.simulated).flags()), "'hunger'", "joy")
    assert at.calls == 0


@pytest.mark.parametrize(
    ("word", "study", "file"),
    [
        ("bloomwise", '[[data]]\nname = "svamp"\n', "math_word_problems/svamp.jsonl"),
        ("priors", '[data]\nname = "hs_brexit"\n', "annotator_level/hs_brexit.jsonl"),
    ],
)
def test_an_lfs_pointer_as_data(kithara, desk, word, study, file):
    at = desk(word)
    at.write("study.toml", study)
    (at.folder / "data" / file).parent.mkdir(parents=True)
    at.write(f"data/{file}", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 131\n")
    refused(kithara(*at.flags(data="data")), file, "LFS pointer")
    refused(kithara(*at.flags(data="absent")), "--data", "absent")
    assert at.calls == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config", "absent"], ["--config absent", "tiny"]),
        (["--profile", "absent.toml"], ["--profile absent.toml"]),
        (["--shard", "2/2"], ["--shard 2/2"]),
        (["--shard", "a"], ["--shard a"]),
        (["--prices", "absent.toml"], ["absent.toml"]),
        (["--reuse", "absent"], ["absent"]),
    ],
)
def test_a_wrong_flag(kithara, desk, flags, words):
    at = desk()
    refused(kithara(*at.flags(), *flags), *words)
    assert at.calls == 0


def test_another_study_in_the_same_folder(kithara, desk):
    at = desk()
    assert kithara(*at.flags()).status == 0
    at.write("study.toml", PRIORS.replace("dev = 8", "dev = 7"))
    asked = at.calls
    refused(kithara(*at.flags()), "run of another study")
    assert at.calls == asked


@pytest.mark.parametrize("argv", [["report", "absent"], ["merge", "absent", "--out", "merged"]])
def test_no_run_folder(kithara, tmp_path, monkeypatch, argv):
    monkeypatch.chdir(tmp_path)
    refused(kithara("study", *argv), "absent", "study.toml")


def test_the_limits_and_the_pace_may_change_between_runs(kithara, desk):
    at = desk()
    assert kithara(*at.flags()).status == 0
    at.write("profile.toml", profile(at.simulated.url, more="concurrency = 3\n"))
    at.write("study.toml", f"{PRIORS}\n[limits]\ncalls = 100000\n")
    assert kithara(*at.flags()).status == 0


@pytest.mark.parametrize(("name", "packaged"), [("bloomwise", "tiny"), ("bloomwise", "paper"), ("icl_priors", "tiny")])
def test_the_resolved_study_reads_as_itself(tmp_path, name, packaged):
    (tmp_path / "profile.toml").write_text(profile("http://127.0.0.1:1/v1", more='extra = {"top k" = 4}\n'))
    study = chosen(name, packaged, tmp_path / "profile.toml", None)
    (tmp_path / "study.toml").write_text(text(name, study))
    again = chosen(name, str(tmp_path / "study.toml"), None, None)
    assert text(name, again) == text(name, study)
    assert again.profile.extra == {"top k": 4}

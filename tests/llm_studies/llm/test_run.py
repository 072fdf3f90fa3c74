import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.errors import OperatorError
from common.system import load, system
from contracts.llm import ChatRequest, Price, Prices, Profile, Reply, Usage
from contracts.studies import StudyLimits
from deploy.commands import configs
from llm_studies.llm import run
from llm_studies.llm.ask import CallFailed, CapReached, Missing
from llm_studies.llm.folder import claim, journals
from llm_studies.llm.journal import Journal, lines

PRICES = Prices(models={"m": Price(prompt=1e6, completion=1e6)})
"""One unit per token."""


async def report(study: Any, folder: Path, profile: Profile, prices: Prices | None = None) -> bytes:
    return msgspec.json.encode(await run.report(study, folder, profile, prices=prices))


def rows(folder: Path) -> list[Any]:
    return [row for path in journals(folder) for row, _, _ in lines(path)]


async def test_every_call_once_and_none_on_a_rerun(server, profile, questions, tmp_path: Path) -> None:
    study = questions(40, repeats=3)
    first = await run.execute(study, tmp_path, profile)
    assert (first.complete, first.jobs, first.paid) == (True, 40, 120)
    assert server.most <= profile.concurrency
    arrived = sum(server.arrived.values())
    again = await run.execute(study, tmp_path, profile)
    assert (again.complete, again.paid, again.calls) == (True, 0, 120)
    assert sum(server.arrived.values()) == arrived  # not even a probe
    assert len({key for key in server.arrived if key}) == 120


async def test_repeats_at_a_temperature_stay_samples_after_a_warm_rerun(
    fault, server, profile, questions, tmp_path
) -> None:
    numbers = iter(range(1000))

    def sample(reply: dict[str, Any]) -> dict[str, Any]:
        return reply | {"choices": [{"message": {"content": f"sample {next(numbers)}"}, "finish_reason": "stop"}]}

    server.script = lambda body, arrival: fault(change=sample)
    study = questions(4, repeats=3)
    await run.execute(study, tmp_path, profile)
    before = await report(study, tmp_path, profile)
    await run.execute(study, tmp_path, profile)
    assert await report(study, tmp_path, profile) == before
    found = await run.report(study, tmp_path, profile)
    assert len({row[2] for row in found.tables[0].rows}) == 12


async def test_sums_over_the_rows_are_the_totals(profile, questions, tmp_path: Path) -> None:
    study = questions(30, repeats=2)
    outcome = await run.execute(study, tmp_path, profile, prices=PRICES)
    usage = [row.reply.usage for row in rows(tmp_path)]
    total = Usage(
        prompt_tokens=sum(u.prompt_tokens for u in usage), completion_tokens=sum(u.completion_tokens for u in usage)
    )
    found = await run.report(study, tmp_path, profile, prices=PRICES)
    assert outcome.usage == found.usage == total
    assert outcome.calls == found.calls == len(usage) == 60
    assert outcome.cost == found.cost == pytest.approx(total.prompt_tokens + total.completion_tokens)


FAULTY: list[dict[str, Any]] = [
    {"status": 429},
    {"status": 503},
    {"drop": True},
    {"truncate": True},
    {"change": lambda reply: reply | {"choices": []}},
]


async def test_a_fifth_of_faults_loses_and_duplicates_nothing(
    server, fault, profile, questions, tmp_path: Path
) -> None:
    study = questions(150, repeats=2)
    await run.execute(study, tmp_path / "calm", profile)
    arrivals = Counter(server.arrived)
    numbers = iter(range(10**6))

    def script(body: dict[str, Any], arrival: int) -> Any:
        number = next(numbers)
        return fault(**FAULTY[number // 5 % 5]) if number % 5 == 0 else fault()

    server.script = script
    outcome = await run.execute(study, tmp_path / "faults", msgspec.structs.replace(profile, concurrency=32))
    assert (outcome.complete, outcome.failed, outcome.calls) == (True, 0, 300)
    assert await report(study, tmp_path / "faults", profile) == await report(study, tmp_path / "calm", profile)
    found = rows(tmp_path / "faults")
    assert len(found) == len({row.key for row in found}) == 300
    requests = sum(row.attempts for row in found)
    assert requests == sum((server.arrived - arrivals).values()) - (server.arrived[""] - arrivals[""])
    assert requests > 300


async def test_the_order_of_jobs_and_answers_changes_nothing(server, fault, profile, questions, tmp_path: Path) -> None:
    class Backwards(questions):
        async def stage(self, number: int, replay: Any) -> Any:
            return list(reversed(await super().stage(number, replay)))

    await run.execute(questions(30), tmp_path / "a", profile)
    server.script = lambda body, arrival: fault(delay=0.02 * (len(str(body)) % 3))
    await run.execute(Backwards(30), tmp_path / "b", profile)
    one, two = [await report(questions(30), tmp_path / name, profile) for name in "ab"]
    assert one == two


async def test_an_error_is_written_down_and_asked_again(server, fault, profile, questions, tmp_path: Path) -> None:
    bad = "question 3"
    server.script = lambda body, arrival: fault(status=400) if body["messages"][0]["content"] == bad else fault()
    study = questions(10)
    outcome = await run.execute(study, tmp_path, profile)
    assert (outcome.complete, outcome.failed, outcome.paid) == (False, 1, 9)
    assert outcome.failures[0].job == "q3"
    assert "400" in outcome.failures[0].error
    assert "run the same command again" in (outcome.stopped or "")
    with pytest.raises(Missing, match="run the study to its end"):
        await run.report(study, tmp_path, profile)
    server.script = lambda body, arrival: fault()
    again = await run.execute(study, tmp_path, profile)
    assert (again.complete, again.paid, again.calls) == (True, 1, 10)


async def test_a_study_that_cannot_succeed_stops_early(server, fault, profile, questions, tmp_path: Path) -> None:
    server.script = lambda body, arrival: fault(status=400) if "question" in str(body) else fault()
    with pytest.raises(OperatorError, match="20 jobs failed and no call succeeded"):
        await run.execute(questions(500), tmp_path, profile)
    assert sum(server.arrived.values()) - server.arrived[""] < 40


async def test_a_wrong_key_in_the_middle_stops_everything_and_keeps_the_journal(
    server, fault, profile, questions, tmp_path
) -> None:
    numbers = iter(range(10**6))
    server.script = lambda body, arrival: fault(status=401) if next(numbers) > 60 else fault(delay=0.005)
    with pytest.raises(OperatorError, match="refuses the key"):
        await run.execute(questions(300), tmp_path, profile)
    kept = len(rows(tmp_path))
    assert 30 < kept < 100
    server.script = lambda body, arrival: fault()
    outcome = await run.execute(questions(300), tmp_path, profile)
    assert (outcome.complete, outcome.calls, outcome.paid) == (True, 300, 300 - kept)


async def test_cancelled_in_the_middle_it_resumes(server, profile, questions, tmp_path: Path) -> None:
    server.latency = 0.01
    task = asyncio.create_task(run.execute(questions(200), tmp_path, profile))
    while sum(server.answered.values()) < 60:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    kept = len(rows(tmp_path))
    assert 0 < kept < 200
    outcome = await run.execute(questions(200), tmp_path, profile)
    assert (outcome.complete, outcome.paid, outcome.calls) == (True, 200 - kept, 200)


async def test_jobs_that_ask_the_same_share_one_call(server, profile, questions, tmp_path: Path) -> None:
    class Same(questions):
        async def stage(self, number: int, replay: Any) -> Any:
            return [job._replace(work=self._work("question 0")) for job in await super().stage(number, replay)]

    server.latency = 0.02
    outcome = await run.execute(Same(30), tmp_path, profile)
    assert (outcome.jobs, outcome.paid) == (30, 1)
    assert sum(server.arrived.values()) - server.arrived[""] == 1


async def test_replies_of_another_run_are_taken_over_and_cost_nothing(
    server, profile, questions, tmp_path: Path
) -> None:
    await run.execute(questions(10), tmp_path / "a", profile)
    arrived = sum(server.arrived.values()) - server.arrived[""]
    outcome = await run.execute(questions(15), tmp_path / "b", profile, prices=PRICES, reuse=[tmp_path / "a"])
    assert (outcome.paid, outcome.reused, outcome.calls) == (5, 10, 5)
    assert sum(server.arrived.values()) - server.arrived[""] == arrived + 5
    reused = [row for row in rows(tmp_path / "b") if row.reused]
    assert len(reused) == 10
    assert outcome.cost == sum(
        r.reply.usage.prompt_tokens + r.reply.usage.completion_tokens for r in rows(tmp_path / "b") if not r.reused
    )
    assert len((await run.report(questions(15), tmp_path / "b", profile)).tables[0].rows) == 15


async def test_the_plan_is_what_is_then_asked(profile, questions, tmp_path: Path) -> None:
    plan = await run.plan(questions(10, repeats=2), profile, prices=PRICES)
    # "question n": 10 bytes, ceil(10 / 3) + 8 tokens
    assert (plan.calls, plan.known, plan.prompt_tokens, plan.completion_tokens) == (20, 0, 20 * 12, 20 * 16)
    assert (plan.cost, plan.currency) == (20 * 28, "USD")
    await run.execute(questions(4, repeats=2), tmp_path, profile)
    plan = await run.plan(questions(10, repeats=2), profile, prices=PRICES, folder=tmp_path)
    assert (plan.calls, plan.known, plan.cost) == (20, 8, 12 * 28)


async def test_a_cap_below_the_plan_is_refused_before_any_call(server, profile, questions, tmp_path: Path) -> None:
    for limits in (StudyLimits(cost=20 * 28 - 1), StudyLimits(calls=19)):
        with pytest.raises(OperatorError, match="its limit is"):
            await run.execute(questions(20), tmp_path, profile, limits=limits, prices=PRICES)
    with pytest.raises(OperatorError, match="needs prices"):
        await run.execute(questions(20), tmp_path, profile, limits=StudyLimits(cost=1.0))
    assert not server.arrived


@pytest.mark.parametrize("limits", [StudyLimits(cost=400.0), StudyLimits(calls=17)])
async def test_a_run_stops_before_its_cap_and_stays_valid(
    profile, questions, tmp_path: Path, monkeypatch, limits
) -> None:
    """As when a plan was wrong: the run's own check must hold without it."""
    monkeypatch.setattr("llm_studies.llm.run.affordable", lambda *_: None)
    outcome = await run.execute(questions(100), tmp_path, profile, limits=limits, prices=PRICES)
    assert not outcome.complete
    assert "reached its limits" in (outcome.stopped or "")
    assert outcome.cost is not None
    assert outcome.cost <= (limits.cost or 1e9)
    assert outcome.calls <= (limits.calls or 1e9)
    assert outcome.calls > 8
    assert len(rows(tmp_path)) == outcome.calls
    rest = await run.execute(questions(100), tmp_path, profile, prices=PRICES)
    assert (rest.complete, rest.calls) == (True, 100)


async def test_prices_without_the_model_are_refused(profile, questions, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no price of 'm'"):
        await run.execute(questions(1), tmp_path, profile, prices=Prices(models={}))


async def test_shards_merged_are_the_unsharded_run(server, profile, questions, tmp_path: Path) -> None:
    study, whole = questions(60, repeats=2, stages=2), tmp_path / "whole"
    claim(whole, "a = 1\n")
    await run.execute(study, whole, profile)
    parts = [tmp_path / f"part{i}" for i in range(3)]
    for i, part in enumerate(parts):
        claim(part, "a = 1\n")
        outcome = await run.execute(study, part, profile, shard=(i, 3))
        assert not outcome.complete
        assert "merge the 3 runs" in (outcome.stopped or "")
        assert 0 < outcome.jobs < 60
    merged = tmp_path / "merged"
    assert await run.merge(parts, merged) == 120
    outcome = await run.execute(study, merged, profile)
    assert (outcome.complete, outcome.paid) == (True, 120)  # stage 1
    assert await report(study, merged, profile) == await report(study, whole, profile)
    assert {row.key for row in rows(merged)} == {row.key for row in rows(whole)}


async def test_merging_what_does_not_belong_together_is_refused(profile, questions, tmp_path: Path) -> None:
    for name in "ab":
        claim(tmp_path / name, f"study = '{name}'\n")
        await run.execute(questions(2), tmp_path / name, profile)
    with pytest.raises(OperatorError, match="different studies"):
        await run.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    with pytest.raises(OperatorError, match="holds a run already"):
        await run.merge([tmp_path / "a"], tmp_path / "b")
    with pytest.raises(OperatorError, match="no journal"):
        await run.merge([tmp_path / "nothing"], tmp_path / "out")


async def test_one_folder_under_two_names_is_not_merged(profile, questions, tmp_path: Path, monkeypatch) -> None:
    await run.execute(questions(2), tmp_path / "a", profile)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    for other in (tmp_path / "a", tmp_path / "link", Path("a"), tmp_path / "a" / ".." / "a"):
        with pytest.raises(OperatorError, match="are one folder"):
            await run.merge([tmp_path / "a", other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_a_run_that_is_being_written_is_not_merged(profile, questions, tmp_path: Path) -> None:
    for name in "ab":
        await run.execute(questions(2), tmp_path / name, profile)
    writing = Journal(tmp_path / "b")
    with pytest.raises(OperatorError, match="b: another process is running this study"):
        await run.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["a", "b"]
    await writing.aclose()
    assert await run.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out") == 4
    assert sorted(place.name for place in tmp_path.iterdir()) == ["a", "b", "out"]


@pytest.mark.parametrize("stopped", [OSError(28, "no space left"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_an_interrupted_merge_leaves_nothing_in_the_way(
    profile, questions, tmp_path: Path, monkeypatch, stopped
) -> None:
    for name in "ab":
        await run.execute(questions(2), tmp_path / name, profile)
    append, rows_ = Journal.append, iter(range(100))

    def failing(self: Journal, row: Any) -> None:
        if next(rows_) == 2:
            raise stopped
        append(self, row)

    monkeypatch.setattr(Journal, "append", failing)
    with pytest.raises(OperatorError if isinstance(stopped, OSError) else type(stopped)):
        await run.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["a", "b"]
    assert await run.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "out") == 4


async def test_a_merge_that_was_killed_does_not_block_the_next(profile, questions, tmp_path: Path, monkeypatch) -> None:
    await run.execute(questions(2), tmp_path / "a", profile)

    async def killed(*_: Any) -> int:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("llm_studies.llm.merge.shutil.rmtree", lambda *_, **__: None)
        patched.setattr("llm_studies.llm.merge._copied", killed)
        with pytest.raises(SystemExit):
            await run.merge([tmp_path / "a"], tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 2
    assert await run.merge([tmp_path / "a"], tmp_path / "out") == 2


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    claim(tmp_path, "a = 1\n")
    claim(tmp_path, "a = 1\n")
    with pytest.raises(OperatorError, match="another study"):
        claim(tmp_path, "a = 2\n")


async def test_a_shard_outside_its_number_is_refused(profile, questions, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="from 0 to n - 1"):
        await run.execute(questions(1), tmp_path, profile, shard=(2, 2))


async def test_repeats_at_temperature_0_are_warned_of_once(profile, make_request, tmp_path, questions, caplog) -> None:
    class Greedy(questions):
        def request(self, text: str) -> ChatRequest:
            return make_request(text, max_tokens=16)

    with caplog.at_level(logging.WARNING):
        await run.execute(Greedy(5, repeats=2), tmp_path, profile)
    assert sum("temperature 0" in record.message for record in caplog.records) == 1
    found = await run.report(Greedy(5, repeats=2), tmp_path, profile)
    assert any("5 replies repeat a request at temperature 0" in warning for warning in found.warnings)


async def test_a_studys_own_repeat_control_is_nothing_to_warn_of(
    profile, make_request, tmp_path, questions, caplog
) -> None:
    class Controlled(questions):
        controls_repeats = True

        def request(self, text: str) -> ChatRequest:
            return make_request(text, max_tokens=16)

    with caplog.at_level(logging.WARNING):
        await run.execute(Controlled(5, repeats=2), tmp_path, profile)
    assert not any("temperature 0" in record.message for record in caplog.records)
    assert (await run.report(Controlled(5, repeats=2), tmp_path, profile)).warnings == ()
    Controlled.controls_repeats = False
    (warning,) = (await run.report(Controlled(5, repeats=2), tmp_path, profile)).warnings
    assert "5 replies repeat a request at temperature 0" in warning


@pytest.mark.parametrize(("name", "off"), [
    ("bloomwise", {"repeat_control": 0}), ("icl_priors", {"grid": {"conditions": ["icl", "prior:zero"]}}),
])  # fmt: skip
def test_both_studies_say_whether_they_repeat_on_purpose(name: str, off: dict[str, Any]) -> None:
    known = system(name)
    config: Any = configs.read(known, "tiny")
    other = msgspec.convert({"data": msgspec.to_builtins(config.data), **off}, type(config))
    make = load(f"llm_studies.{name}.study:make")
    assert [run.repeating(make(one, None)) for one in (config, other)] == [True, False]


async def test_any_ask_can_stand_in_for_the_server(questions, tmp_path: Path) -> None:
    async def ask(request: ChatRequest, repeat: int = 0) -> Reply:
        if request.messages[0].content == "question 1":
            raise CallFailed("no")
        return Reply(text="x", finish="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))

    seen: list[run.Progress] = []
    profile = Profile(base_url="http://nowhere/v1", model="m", concurrency=2)
    outcome = await run.execute(questions(5), tmp_path, profile, client=ask, progress=seen.append)
    assert (outcome.failed, outcome.paid) == (1, 4)
    assert [(p.done, p.total) for p in seen] == [(i, 5) for i in range(1, 6)]
    assert seen[-1].eta == 0.0


async def test_the_time_left_is_judged_by_calls_really_made(questions, tmp_path: Path, monkeypatch) -> None:
    """Replayed jobs are no speed: 90 of 100 are there, and the first call of ten takes a second."""

    async def ask(request: ChatRequest, repeat: int = 0) -> Reply:
        now[0] += 1.0
        return Reply(text="x", finish="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    profile = Profile(base_url="http://nowhere/v1", model="m", concurrency=1)
    await run.execute(questions(90), tmp_path, profile, client=ask)
    now[0], seen = 1000.0, list[run.Progress]()
    await run.execute(questions(100), tmp_path, profile, client=ask, progress=seen.append)
    assert [one.eta for one in seen] == [None] * 90 + [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


async def test_replayed_jobs_do_not_speak_for_a_dead_server(questions, tmp_path: Path) -> None:
    alive, asked = [True], []

    async def ask(request: ChatRequest, repeat: int = 0) -> Reply:
        if not alive[0]:
            asked.append(request)
            raise CallFailed("gone")
        return Reply(text="x", finish="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))

    profile = Profile(base_url="http://nowhere/v1", model="m", concurrency=1)
    await run.execute(questions(50), tmp_path, profile, client=ask)
    alive[0] = False
    with pytest.raises(OperatorError, match="20 jobs failed and no call succeeded; the last failed because gone"):
        await run.execute(questions(500), tmp_path, profile, client=ask)
    assert len(asked) == 20


async def test_a_jobs_own_cap_is_no_failure_of_the_server(questions, tmp_path: Path) -> None:
    async def ask(request: ChatRequest, repeat: int = 0) -> Reply:
        raise CapReached("enough")

    profile = Profile(base_url="http://nowhere/v1", model="m", concurrency=2)
    outcome = await run.execute(questions(5), tmp_path, profile, client=ask)
    assert (outcome.failed, outcome.stopped) == (0, "enough")

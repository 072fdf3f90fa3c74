"""The study end to end on the simulated solver: what is asked, what is replayed, what the report says.

Check D: the report finds the parameters that the solver was given.
"""

import itertools
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.errors import OperatorError
from contracts.llm import ChatRequest, Profile, Reply, Usage
from contracts.studies import StudyLimits, StudyReport, Table
from llm_studies.bloomwise.config import Config, Items, Sampling
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.rules import Rule
from llm_studies.bloomwise.study import BloomWise, chosen, make
from llm_studies.llm.ask import Missing
from llm_studies.llm.run import plan as run_plan
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Solver
from llm_studies.simulate.problems import of_study
from llm_studies.simulate.solver import SimulatedSolver

CONFIGS = Path(__file__).parents[3] / "llm_studies" / "bloomwise" / "configs"
P = {"remembering": 0.45, "understanding": 0.55, "applying": 0.7, "analyzing": 0.6, "evaluating": 0.65}
POOL = 3
TEXT = ("cot", "cot_two", "few_shot", "xot", "paraphrases", "self_consistency_3", "self_consistency_matched")
SMALL = Config(
    data=(Items(items=12, options=0.3),),
    ladders={"main": Ladder(verdicts=True), "judged": Ladder(levels="v1", rule=Rule(kind="self_eval"))},
    methods=tuple(name for name in TEXT if name != "xot"),
)


class Kept:
    """Answers from a mind and keeps the replies, or, closed, answers from those alone."""

    def __init__(self, ask) -> None:
        self._ask, self.replies, self.closed = ask, {}, False

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        key = (request, repeat)
        if key not in self.replies:
            if self.closed:
                raise Missing("never asked")
            self.replies[key] = await self._ask(request, repeat)
        return self.replies[key]


def solver(config: Config, **settings) -> Kept:
    return Kept(SimulatedAsk(SimulatedSolver(Solver(**settings), of_study(config, None))))


async def run(study: BloomWise, ask: Kept) -> StudyReport:
    for number in itertools.count():
        jobs = await study.stage(number, ask)
        if not jobs:
            break
        for job in jobs:
            await job.work(ask)
    ask.closed = True
    return await study.report(ask)


def table(report: StudyReport, name: str) -> dict[str, dict]:
    found: Table = next(one for one in report.tables if one.name == name)
    return {str(row[0]): dict(zip(found.columns, row, strict=True)) for row in found.rows}


async def test_the_report_needs_what_the_stages_asked_and_no_more() -> None:
    study, ask = make(SMALL, None), solver(SMALL)
    report = await run(study, ask)
    assert report.calls == len(ask.replies)
    assert report.usage.prompt_tokens == sum(reply.usage.prompt_tokens for reply in ask.replies.values())
    assert msgspec.json.encode(report) == msgspec.json.encode(await make(SMALL, None).report(ask))


async def test_call_matched_self_consistency_makes_the_calls_of_the_ladder() -> None:
    report = await run(make(SMALL, None), solver(SMALL, levels=P))
    methods = table(report, "methods-generated")
    calls = "calls per problem"
    assert methods["main"][calls] == methods["self_consistency_matched"][calls] > 2
    assert methods["main"][calls] == table(report, "rules-main-generated")["converge(2), fallback last"]["levels asked"]
    assert (methods["cot"][calls], methods["cot_two"][calls], methods["self_consistency_3"][calls]) == (1, 2, 3)
    # Self-evaluation pays for its verdicts: two calls a level.
    judged = table(report, "rules-judged-generated")["self_eval, fallback last"]["levels asked"]
    assert methods["judged"][calls] == pytest.approx(2 * judged)


async def test_jobs_are_named_once_and_the_same_every_time() -> None:
    first, again = [[job.id for job in await make(SMALL, None).stage(0, solver(SMALL))] for _ in range(2)]
    assert first == again
    assert len(set(first)) == len(first) == 12 * (2 + len(SMALL.methods) - 1)


class Worst:
    """What a plan answers."""

    def __init__(self) -> None:
        self.asked: set = set()

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        self.asked.add((request, repeat))
        usage = Usage(prompt_tokens=1, completion_tokens=request.max_tokens)
        return Reply(text="", finish="length", usage=usage)


async def test_a_plan_counts_at_least_what_a_run_asks() -> None:
    config = msgspec.structs.replace(SMALL, methods=TEXT, data=(Items(items=4),))
    planned, study = Worst(), make(config, None)
    for number in (0, 1):
        for job in await study.stage(number, planned):
            await job.work(planned)
    ask = solver(config, levels=P)
    await run(make(config, None), ask)
    assert len(planned.asked) >= len(ask.replies)
    # Nothing agrees and nothing is accepted: every level, its verdict, and as many samples as levels.
    expected = {"levels": 5 + 5, "cot": 1, "cot_two": 2, "few_shot": 1, "xot": 2, "paraphrases": 5, "samples": 5}
    assert len(planned.asked) == 4 * sum(expected.values())  # cot and xot begin with one and the same call
    assert sum(request.temperature == 0.7 for request, _ in planned.asked) == 4 * 5


def enumerated(p: Sequence[float]) -> dict[str, float]:
    """Expected figures of independent levels: every combination of right and the POOL wrong answers, one by one."""
    found = dict.fromkeys(("converge", "asked", "majority", "oracle", "first"), 0.0)
    for said in itertools.product(range(POOL + 1), repeat=len(p)):  # 0 is right
        weight = np.prod([q if a == 0 else (1 - q) / POOL for a, q in zip(said, p, strict=True)])
        stop = next((k for k in range(1, len(p)) if said[k] == said[k - 1]), None)
        put_out = said[-1] if stop is None else said[stop]
        found["converge"] += weight * (put_out == 0)
        found["asked"] += weight * (len(p) if stop is None else stop + 1)
        votes = [said.count(a) for a in said]
        best = max(k for k in range(len(p)) if votes[k] == max(votes))
        found["majority"] += weight * (said[best] == 0)
        found["oracle"] += weight * (0 in said)
        found["first"] += weight * (said.index(0) + 1 if 0 in said else len(p))
    return found


async def test_the_report_finds_the_closed_form_of_independent_levels() -> None:
    n = 600
    config = Config(data=(Items(items=n),), ladders={"main": Ladder(verdicts=True)}, methods=())
    report = await run(make(config, None), solver(config, levels=P, pool=POOL, sensitivity=0.8, specificity=0.7))
    expected, rules = enumerated(list(P.values())), table(report, "rules-main-generated")

    def close(row: dict, share: float) -> bool:
        return abs(row["accuracy, %"] / 100 - share) < 3 * np.sqrt(share * (1 - share) / n)

    assert close(rules["converge(2), fallback last"], expected["converge"])
    assert close(rules["majority"], expected["majority"])
    assert close(rules["oracle-stop"], expected["oracle"])
    spread = 3 * 1.2 / np.sqrt(n)  # calls lie between 1 and 5: their deviation is below 1.2 here
    assert abs(rules["converge(2), fallback last"]["levels asked"] - expected["asked"]) < spread
    assert abs(rules["oracle-stop"]["levels asked"] - expected["first"]) < spread
    levels = table(report, "levels-main-generated")
    assert list(levels) == list(P)
    assert all(close(levels[name], p) for name, p in P.items())
    verdicts = table(report, "verdicts-main-generated")["all levels"]
    right = 5 * n * np.mean(list(P.values()))
    assert abs(verdicts["recall"] - 0.8) < 3 * np.sqrt(0.8 * 0.2 / right)
    assert abs(verdicts["AUC"] - 0.75) < 3 * np.sqrt(0.25 * (0.8 * 0.2 / right + 0.7 * 0.3 / (5 * n - right)))
    gain = table(report, "gain-main-generated")["remembering"]
    wrong = gain["wrong before"]
    assert abs(gain["of these right after, %"] / 100 - 0.55) < 3 * np.sqrt(0.55 * 0.45 / wrong)
    assert wrong + gain["right before"] == n


async def test_fully_correlated_errors_make_agreement_worthless() -> None:
    config = Config(data=(Items(items=200),), methods=("self_consistency_matched",))
    report = await run(make(config, None), solver(config, default=0.6, rho=1.0))
    rules, levels = table(report, "rules-bloomwise-generated"), table(report, "levels-bloomwise-generated")
    row = rules["converge(2), fallback last"]
    assert (row["levels asked"], row["ended by rule, %"]) == (2, 100)
    assert row["accuracy, %"] == levels["remembering"]["accuracy, %"] == rules["oracle-stop"]["accuracy, %"]


async def test_paired_differences_are_those_of_the_methods_table() -> None:
    report = await run(make(SMALL, None), solver(SMALL, levels=P))
    methods, pairs = table(report, "methods-generated"), table(report, "paired-generated")
    assert set(pairs) == set(methods) - {"main"}
    for name, row in pairs.items():
        difference = methods["main"]["accuracy, %"] - methods[name]["accuracy, %"]
        assert row["difference, points"] == pytest.approx(difference)
        assert row["only main"] - row["only other"] == pytest.approx(difference * 12 / 100)
        assert row["p"] <= row["p (Holm)"] <= 1


async def test_other_ways_through_a_ladder_are_replayed_only_where_levels_are_independent() -> None:
    ladders = {"main": Ladder(), "cumulative": Ladder(context="cumulative")}
    config = Config(data=(Items(items=6),), ladders=ladders, methods=())
    report = await run(make(config, None), solver(config))
    assert "converge(2), reversed" in table(report, "rules-main-generated")
    assert "converge(2), without applying" in table(report, "rules-main-generated")
    assert "converge(2), reversed" not in table(report, "rules-cumulative-generated")
    assert "converge(2), first 3 levels" in table(report, "rules-cumulative-generated")


async def test_programmes_are_run_and_their_failures_counted() -> None:
    ladders = {"main": Ladder(mode="programme", levels=("applying", "analyzing"))}
    config = Config(data=(Items(items=10, options=0.3),), ladders=ladders, methods=("pot",))
    report = await run(make(config, None), solver(config, levels={"applying": 1.0, "analyzing": 1.0}, none=0.3))
    levels, failed = table(report, "levels-main-generated"), table(report, "programmes-generated")
    silent = sum(row["no answer, %"] / 100 * 10 for row in levels.values())
    assert failed["main"]["exception"] == round(silent) > 0
    assert levels["applying"]["accuracy, %"] == 100 - levels["applying"]["no answer, %"]


async def test_rows_are_what_the_tables_count() -> None:
    code = Ladder(mode="programme", levels=("applying", "analyzing"))
    ladders = SMALL.ladders | {"code": code, "unlined": Ladder(levels=("applying", "analyzing"), line=False)}
    config = msgspec.structs.replace(SMALL, ladders=ladders, methods=(*SMALL.methods, "pot"), repeat_control=3)
    mind = solver(config, levels=P, none=0.2)

    async def some_cut_off(request: ChatRequest, repeat: int = 0) -> Reply:
        reply = await mind(request, repeat)
        return msgspec.structs.replace(reply, finish="stop" if reply.usage.prompt_tokens % 4 else "length")

    ask = Kept(some_cut_off)
    report = await run(make(config, None), ask)
    rows = [row async for row in make(config, None).rows(ask)]
    keys = [(row.dataset, row.problem, row.method, row.level, row.repeat) for row in rows]
    assert len(set(keys)) == len(keys) == 12 * (5 + 4 + 2 + 2 + 4 + len(config.methods)) + 2 * 3
    problems = {one.id: one for one in chosen(config.data[0], None)}
    assert all(row.right == same(row.answer, problems[row.problem].gold) for row in rows)
    for name, shown in table(report, "methods-generated").items():
        found = [row for row in rows if row.method == name and row.level is None]
        assert [row.problem for row in found] == list(problems)
        assert 100 * np.mean([row.right for row in found]) == pytest.approx(shown["accuracy, %"])
        strict = [same(row.strict, problems[row.problem].gold) for row in found]
        assert 100 * np.mean(strict) == pytest.approx(shown["strict, %"])
        assert 100 * np.mean([row.finish == "length" for row in found]) == pytest.approx(shown["cut off, %"])
        for kind in ("prompt", "completion"):
            spent = np.mean([getattr(row.usage, f"{kind}_tokens") for row in found])
            assert spent == pytest.approx(shown[f"{kind} tokens per problem"])
    for name in ladders:
        for level, shown in table(report, f"levels-{name}-generated").items():
            found = [row for row in rows if (row.method, row.level) == (name, level)]
            assert 100 * np.mean([row.right for row in found]) == pytest.approx(shown["accuracy, %"])
            assert 100 * np.mean([row.answer is None for row in found]) == pytest.approx(shown["no answer, %"])
            assert 100 * np.mean([row.finish == "length" for row in found]) == pytest.approx(shown["cut off, %"])
    assert any(row.strict != row.answer for row in rows if row.method == "unlined")
    written = b"\n".join(map(msgspec.json.encode, rows)).decode()
    assert not any(one.question in written for one in problems.values()), "no text of a problem"


async def test_rows_of_a_reply_never_given() -> None:
    closed = solver(SMALL)
    closed.closed = True
    with pytest.raises(Missing):
        _ = [row async for row in make(SMALL, None).rows(closed)]


async def test_warnings_say_what_a_table_cannot() -> None:
    config = msgspec.structs.replace(SMALL, sampling=Sampling(temperature=0.0))
    warnings = (await run(make(config, None), solver(config, none=0.5))).warnings
    assert any("temperature 0" in one for one in warnings)
    assert any("12 items" in one for one in warnings)
    assert any("cot: " in one and "no answer" in one for one in warnings)
    study = make(config, None)
    assert any("cut off" in one for one in (await study.report(Worst())).warnings)


def test_what_a_study_needs_of_a_server() -> None:
    always = {"max_tokens", "system_role"}
    assert make(SMALL, None).needs == always | {"temperature"}
    assert make(Config(methods=("cot",)), None).needs == always
    warm = Config(methods=("cot",), ladders={"warm": Ladder(temperature=0.7)})
    assert make(warm, None).needs == always | {"temperature"}
    capped = Config(methods=("cot",), limits=StudyLimits(cost=1.0))
    assert make(capped, None).needs == always | {"usage"}
    profile = Profile(base_url="http://127.0.0.1:1/v1", model="m")
    assert make(Config(methods=("cot",), profile=profile), None).needs == always
    folding = msgspec.structs.replace(profile, system_role=False)
    assert make(Config(methods=("cot",), profile=folding), None).needs == {"max_tokens"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(data=(Items(), Items(seed=1))), "twice"),
        (Config(ladders={"cot": Ladder()}), "name of a baseline"),
        (Config(ladders={"repeat_control": Ladder()}), "name of a baseline"),
        (Config(data=(Items(items=4),), repeat_control=5), "repeat_control asks for 5 problems"),
        (Config(ladders={"main": Ladder(levels="v9")}), "v9"),
        (Config(data=(Items(name="svamp"),)), "KITHARA_DATA"),
        (Config(ladder_file="/no/such/ladder.toml"), "ladder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(config: Config, words: str) -> None:
    with pytest.raises(OperatorError, match=words):
        make(config, None)


def packaged(name: str) -> Config:
    return msgspec.convert(tomllib.loads((CONFIGS / f"{name}.toml").read_text()), Config)


def test_every_packaged_study_is_tested() -> None:
    assert {file.stem for file in CONFIGS.glob("*.toml")} == {"tiny", "paper"}


async def test_the_tiny_study_is_built_and_planned() -> None:
    config = packaged("tiny")
    study = make(config, None)
    assert len(await study.stage(0, Worst())) == 40 * (3 + 12 - 1)
    assert config.profile is not None
    assert study.needs == {"max_tokens", "system_role", "temperature"}
    # Levels with verdicts, programmes, the six methods of one call, then as in the study of the paper.
    calls = 5 * 2 + 5 + 6 * 1 + 2 + 2 + 1 + 5 + 5
    assert (await run_plan(study, config.profile)).calls == 40 * calls + 5


async def test_the_paper_study_is_built_and_planned_on_generated_problems() -> None:
    """Every ladder and method of the packaged file, on two problems."""
    config = msgspec.structs.replace(packaged("paper"), data=(Items(items=2, options=0.5),), repeat_control=1)
    study = make(config, None)
    assert len(await study.stage(0, Worst())) == 2 * (9 + 13 - 1)
    found = await run_plan(study, Profile(base_url="http://nowhere/v1", model="m"))
    # Distinct calls on a problem in the worst case. Five levels with verdicts; "creating"; four cumulative levels (the
    # first has nothing before it); five programmes; five levels each without sentence, without line, warm. The early
    # version and the mixed ladder ask nothing that others do not.
    ladders = 5 * 2 + 1 + 4 + 5 + 3 * 5
    # direct, cot, few_shot, pot, plan and metacognitive; cot_two; self_refine and xot after their cot (and pot);
    # paraphrases; the five samples that every self-consistency draws from.
    methods = 6 * 1 + 2 + 2 + 1 + 5 + 5
    assert found.calls == 2 * (ladders + methods) + 1


async def test_the_paper_study_is_built_on_its_sets(data: Path) -> None:
    study = make(packaged("paper"), data)
    assert len(await study.stage(0, Worst())) == (1055 + 810 + 222 + 1319 + 254) * (9 + 13 - 1)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"ladders": {"main": {"level": "v2"}}}, Config)


async def test_public_sets_are_drawn_by_id_and_gsm_hard_is_also_shown_without_negative_golds(data: Path) -> None:
    items = (Items(name="gsm_hard", items=60), Items(name="aqua_test", items=5))
    config = Config(data=items, methods=("few_shot",))
    study = make(config, data)
    mind = SimulatedSolver(Solver(), of_study(config, data))
    report = await run(study, Kept(SimulatedAsk(mind)))
    whole, part = (table(report, f"methods-gsm_hard{end}") for end in ("", "-nonnegative"))
    assert whole["few_shot"]["n"] == 60 > part["few_shot"]["n"] > 30
    assert "methods-aqua_test-nonnegative" not in {one.name for one in report.tables}
    text = msgspec.json.encode(report).decode()
    assert "gsm8k_train-0000" in text
    assert "aqua_dev-0000" in text
    with pytest.raises(OperatorError, match="1319 problems"):
        make(Config(data=(Items(name="gsm_hard", items=1320),)), data)

"""A study that did not end is reported over the items whose replies are all there (bloomwise.md, 10 G)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from contracts.llm import ChatRequest, Price, Prices, Profile, Reply
from contracts.studies import StudyLimits, StudyReport
from llm_studies.bloomwise import study as bloomwise
from llm_studies.bloomwise.config import Bootstrap, Items
from llm_studies.bloomwise.config import Config as Steps
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.icl_priors import study as priors
from llm_studies.icl_priors.conditions import Run
from llm_studies.icl_priors.config import Config as Priors
from llm_studies.icl_priors.config import Data, Generated, Grid
from llm_studies.icl_priors.design import Design
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.llm import predictions, run
from llm_studies.llm.ask import Ask, CallFailed, Missing
from llm_studies.llm.partial import Part, parts
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Respondent, Solver
from llm_studies.simulate.gold import of_corpus
from llm_studies.simulate.problems import of_study
from llm_studies.simulate.respondent import SimulatedRespondent
from llm_studies.simulate.solver import SimulatedSolver

PROFILE = Profile(base_url="http://nowhere/v1", model="m", concurrency=1)
PRICES = Prices(models={"m": Price(prompt=1e6, completion=1e6)})
MATCHED = "self_consistency_matched"
STEPS = Steps(
    data=(Items(items=8, options=0.3),),
    ladders={"main": Ladder(levels="v1", verdicts=True)},
    methods=("cot", "cot_two", MATCHED),
    repeat_control=2,
    bootstrap=Bootstrap(rounds=100),
    profile=PROFILE,
)
STAGE_0, TWICE = 4 * 2 + 1 + 2, 2
"""Calls on a problem (levels with verdicts, cot, cot_two), and those of the repeat control on the first two."""
SIZES = Sizes(40, 24, 30)
GRID = Grid(conditions=("icl", "prior:zero", "prior:distribution", "prior-prompt:labels"), shots=(3,), seeds=(0, 1, 2))
TOLD = Priors(data=Data(generated=Generated(train=40, dev=24, test=30)), grid=GRID, rounds=100, shuffles=10)


def solver(config: Steps = STEPS) -> SimulatedAsk:
    return SimulatedAsk(SimulatedSolver(Solver(), of_study(config, None)))


def respondent() -> SimulatedAsk:
    return SimulatedAsk(SimulatedRespondent(Respondent(kappa=0.5, eps1=0.1, eps0=0.02), of_corpus(generate(0, SIZES))))


class Failing:
    """Fails where the last message holds one of these texts."""

    def __init__(self, ask: Ask, *texts: str) -> None:
        self._ask, self.texts = ask, texts

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        if any(text in request.messages[-1].content for text in self.texts):
            raise CallFailed("no")
        return await self._ask(request, repeat)


async def ran(study: Any, folder: Path, ask: Ask, calls: int | None = None, prices: Prices | None = None) -> Any:
    return await run.execute(study, folder, PROFILE, client=ask, limits=StudyLimits(calls=calls), prices=prices)


async def first(study: Any, folder: Path) -> Part:
    """The part that is reported."""
    for part in await parts(study, folder, PROFILE):
        try:
            await run.report(part.study, folder, PROFILE)
        except Missing:
            continue
        return part
    raise AssertionError("no part can be reported")


async def same(part: Part, folder: Path, whole: Any, ask: Ask, other: Path) -> StudyReport:
    """The part's report and predictions are, byte for byte, those of the study ``whole``, run in ``other``."""
    assert (await ran(whole, other, ask)).complete
    found = await run.report(part.study, folder, PROFILE, prices=PRICES)
    assert msgspec.json.encode(found) == msgspec.json.encode(await run.report(whole, other, PROFILE, prices=PRICES))
    for study, place in ((part.study, folder), (whole, other)):
        await predictions.write(study, place, PROFILE)
    assert (folder / predictions.PREDICTIONS).read_bytes() == (other / predictions.PREDICTIONS).read_bytes()
    return found


@pytest.fixture
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the plan was wrong, so that a cap is reached in mid-run."""
    monkeypatch.setattr("llm_studies.llm.run.affordable", lambda *_: None)


def steps(items: int, **fields: Any) -> Any:
    return bloomwise.make(replace(STEPS, data=(Items(items=items, options=0.3),), **fields), None)


@pytest.mark.usefixtures("unplanned")
@pytest.mark.parametrize("whole", [2, 5])
async def test_bloomwise_stopped_in_its_first_stage(tmp_path: Path, whole: int) -> None:
    """The problems whose methods are all there; the samples that wait for every ladder are left out."""
    cap = STAGE_0 * whole + TWICE + 4  # some calls on the next problem
    outcome = await ran(steps(8), tmp_path / "capped", solver(), calls=cap)
    assert (outcome.complete, outcome.calls) == (False, cap)
    part = await first(steps(8), tmp_path / "capped")
    assert (part.items, part.of, part.left_out) == (whole, 8, (MATCHED,))
    report = await same(
        part, tmp_path / "capped", steps(whole, methods=("cot", "cot_two")), solver(), tmp_path / "fewer"
    )
    assert report.calls == cap - 4


@pytest.mark.usefixtures("unplanned")
async def test_bloomwise_stopped_in_its_second_stage(tmp_path: Path) -> None:
    """How many samples match depends on every problem, so that none of them can be reported."""
    outcome = await ran(steps(8), tmp_path / "capped", solver(), calls=STAGE_0 * 8 + TWICE + 6)
    assert not outcome.complete
    part = await first(steps(8), tmp_path / "capped")
    assert (part.items, part.of, part.left_out) == (8, 8, (MATCHED,))
    await same(part, tmp_path / "capped", steps(8, methods=("cot", "cot_two")), solver(), tmp_path / "fewer")


async def test_bloomwise_with_calls_that_failed(tmp_path: Path) -> None:
    study = steps(8)
    problems = bloomwise.chosen(Items(items=8, options=0.3), None)
    bad = [problems[0], problems[6]]  # the repeat control is on the first two
    outcome = await ran(study, tmp_path / "failed", Failing(solver(), *(one.question for one in bad)))
    assert (outcome.complete, outcome.failed) == (False, 2 * 3)
    part = await first(study, tmp_path / "failed")
    assert (part.items, part.of) == (6, 8)
    kept = tuple(one for one in problems if one not in bad)
    config = replace(STEPS, methods=("cot", "cot_two"), repeat_control=1)
    report = await same(
        part, tmp_path / "failed", bloomwise.BloomWise(config, {"generated": kept}, {"generated": ()}), solver(),
        tmp_path / "fewer",
    )  # fmt: skip
    assert next(one for one in report.tables if one.name == "methods-generated").rows[0][1] == 6
    assert (await ran(study, tmp_path / "failed", solver())).complete  # the same command finishes


async def test_a_part_of_gsm_hard_without_a_senseful_problem_has_a_report() -> None:
    """Its problems with gold >= 0 are tabled apart; in a part there may be none."""
    one, other = bloomwise.chosen(Items(items=2), None)
    first, second = replace(one, gold="-3"), replace(other, gold="4")
    config = replace(STEPS, methods=("cot",), repeat_control=0)
    study = bloomwise.BloomWise(config, {"gsm_hard": (first, second)}, {"gsm_hard": ()})
    for one, names in ((first, {"gsm_hard"}), (second, {"gsm_hard", "gsm_hard-nonnegative"})):
        part, _ = study.restricted(frozenset({f"gsm_hard/{one.id}"}), 1)
        report = await part.report(solver())
        methods = {table.name: table for table in report.tables if table.name.startswith("methods")}
        assert set(methods) == {f"methods-{name}" for name in names}
        assert {row[1] for table in methods.values() for row in table.rows} == {1}


@pytest.mark.usefixtures("unplanned")
async def test_a_set_of_which_no_problem_is_complete_is_left_out(tmp_path: Path) -> None:
    problems = bloomwise.chosen(Items(items=5), None)
    sets = {"svamp": problems[:2], "asdiv": problems[2:]}
    study = bloomwise.BloomWise(replace(STEPS, repeat_control=0), sets, dict.fromkeys(sets, ()))
    await ran(study, tmp_path, solver(), calls=2 * STAGE_0 + 3)
    part = await first(study, tmp_path)
    assert (part.items, part.of) == (2, 5)
    report = await run.report(part.study, tmp_path, PROFILE)
    assert [table.name for table in report.tables if table.name.startswith("methods")] == ["methods-svamp"]


@pytest.mark.usefixtures("unplanned")
async def test_nothing_is_reported_while_no_item_is_complete(tmp_path: Path) -> None:
    await ran(steps(8), tmp_path, solver(), calls=STAGE_0 - 1)
    assert await parts(steps(8), tmp_path, PROFILE) == []


def told(**data: Any) -> Any:
    return priors.make(replace(TOLD, data=replace(TOLD.data, **data)), None)


PLAIN = replace(TOLD, grid=replace(GRID, conditions=("icl", "prior:zero", "prior:distribution")))
RUNS, OWN = 3 + 1 + 3, 3
"""Calls on a text in stage 0, and own priors."""


@pytest.mark.usefixtures("unplanned")
async def test_priors_stopped_in_the_first_stage(tmp_path: Path) -> None:
    """Ten texts are asked about together: those are whole, the next ten are not. Prior prompts have not begun."""
    await ran(told(), tmp_path / "capped", respondent(), calls=10 * (RUNS + OWN) + 30)
    part = await first(told(), tmp_path / "capped")
    assert (part.items, part.of, part.left_out) == (10, 24, ("prior-prompt:labels",))
    fewer = priors.make(replace(PLAIN, data=replace(PLAIN.data, items=10)), None)
    await same(part, tmp_path / "capped", fewer, respondent(), tmp_path / "fewer")


@pytest.mark.usefixtures("unplanned")
@pytest.mark.parametrize(("more", "items", "left_out"), [(15, 24, ("prior-prompt:labels",)), (44, 20, ())])
async def test_priors_stopped_in_the_second_stage(
    tmp_path: Path, more: int, items: int, left_out: Sequence[str]
) -> None:
    """Of all texts without prior prompts and fewer with them, the report that holds more."""
    study = told()
    begun = 24 * (RUNS + OWN) + OWN * len(study.design.shown)
    await ran(study, tmp_path / "capped", respondent(), calls=begun + more)
    part = await first(study, tmp_path / "capped")
    assert (part.items, part.left_out) == (items, left_out)
    fewer = priors.make(PLAIN, None) if left_out else told(items=items)
    await same(part, tmp_path / "capped", fewer, respondent(), tmp_path / "fewer")


async def test_priors_with_calls_that_failed(tmp_path: Path) -> None:
    study = told()
    bad = study.design.queries[7]
    outcome = await ran(study, tmp_path / "failed", Failing(respondent(), f"Input: {bad.text}\n"))
    assert (outcome.complete, outcome.stages, outcome.failed) == (False, 2, RUNS + OWN + 3)
    part = await first(study, tmp_path / "failed")
    assert (part.items, part.of, part.left_out) == (23, 24, ())
    ids = tmp_path / "ids"
    ids.write_text("\n".join(one.id for one in study.design.queries if one != bad))
    await same(part, tmp_path / "failed", told(ids=str(ids)), respondent(), tmp_path / "fewer")


async def test_priors_of_one_text_are_reported_and_say_what_is_missing(tmp_path: Path) -> None:
    study, said = told(), []
    for one in study.design.queries:
        for stages in (1, 2):
            part, _ = study.restricted(frozenset({one.id}), stages)
            report = await part.report(respondent())
            assert report.scale.startswith("1 texts")
            assert {"trivial", "similarity_js", "statuses"} <= {table.name for table in report.tables}
            said += report.warnings
    assert any("no pull at 3 shots" in warning for warning in said)


async def test_a_study_of_prior_prompts_alone_has_a_report_before_they_begin() -> None:
    only = priors.make(replace(TOLD, grid=replace(GRID, conditions=("prior-prompt:labels",))), None)
    assert isinstance(only, priors.PriorsStudy)
    part, left_out = only.restricted(frozenset(one.id for one in only.design.queries[:4]), 1)
    report = await part.report(respondent())
    assert (report.calls, left_out) == (0, ("prior-prompt:labels",))
    assert report.tables[0].name == "trivial"


def test_the_texts_left_out_are_still_never_shown() -> None:
    """Demonstrations avoid the texts of all queries; those of a part must be the same, or its replies are not found."""
    corpus = generate(0, SIZES)
    first, last = corpus.split("dev")[0], corpus.split("dev")[-1]
    twin = corpus.split("train")[0]._replace(text=last.text)
    corpus = corpus._replace(items=tuple(twin if one.id == twin.id else one for one in corpus.items))
    whole = Design(TOLD, corpus)
    part = whole.restricted({first.id}, TOLD)
    one = Run("icl", "aggregate", 3, 0, 0)
    assert part.queries == (first,)
    assert part.candidates(one) == whole.candidates(one)
    assert twin.id not in {shown.id for shown in part.candidates(one)}
    fresh = Design(replace(TOLD, data=replace(TOLD.data, items=1)), corpus)
    assert twin.id in {shown.id for shown in fresh.candidates(one)}


def test_the_note_says_how_much_and_why() -> None:
    part = Part(told(), 3, 24, ("prior-prompt:labels",), 30)
    assert part.note("because") == (
        "Partial report of 3 of 24 items, those whose replies are all there; without prior-prompt:labels: because."
    )

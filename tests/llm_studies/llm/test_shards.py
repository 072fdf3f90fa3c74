"""Shards know nothing of one another, and together keep to the limits of the study."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from common.errors import OperatorError
from common.system import system
from contracts.llm import Price, Prices, Profile
from contracts.studies import StudyLimits
from deploy.commands import configs
from llm_studies.bloomwise import study as bloomwise
from llm_studies.bloomwise.config import Config as Steps
from llm_studies.bloomwise.config import Items
from llm_studies.bloomwise.generated import problems
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.icl_priors import study as priors
from llm_studies.icl_priors.config import Generated
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.llm import run
from llm_studies.llm.ask import Ask
from llm_studies.llm.shards import WHOLE, in_shard, share
from llm_studies.llm.study import Job
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Respondent, Solver
from llm_studies.simulate.gold import of_corpus
from llm_studies.simulate.problems import of_study
from llm_studies.simulate.respondent import SimulatedRespondent
from llm_studies.simulate.solver import SimulatedSolver

PRICES = Prices(models={"m": Price(prompt=1e6, completion=1e6)})
"""One unit per token."""


@given(cost=st.floats(1e-6, 1e6), calls=st.integers(1, 10**6), count=st.integers(1, 500))
def test_the_shares_add_up_to_the_limits(cost: float, calls: int, count: int) -> None:
    parts = [share(StudyLimits(cost=cost, calls=calls, invalid=0.2), (i, count)) for i in range(count)]
    assert sum(part.calls or 0 for part in parts) == calls
    assert sum(part.cost or 0.0 for part in parts) == pytest.approx(cost, rel=1e-9)
    assert {part.invalid for part in parts} == {0.2}


def test_without_limits_there_is_no_share() -> None:
    assert share(StudyLimits(), (1, 3)) == StudyLimits()
    assert share(StudyLimits(cost=2.0, calls=3), WHOLE) == StudyLimits(cost=2.0, calls=3)


@pytest.mark.parametrize("limits", [StudyLimits(cost=700.0), StudyLimits(calls=31)])
async def test_the_shards_together_never_spend_more(profile, questions, tmp_path: Path, monkeypatch, limits) -> None:
    """As when the plan was wrong: each shard's own check holds without it."""
    monkeypatch.setattr("llm_studies.llm.run.affordable", lambda *_: None)
    ended = [
        await run.execute(questions(100), tmp_path / str(i), profile, limits=limits, prices=PRICES, shard=(i, 4))
        for i in range(4)
    ]
    assert all("reached its limits" in (one.stopped or "") and not one.waiting for one in ended)
    assert sum(one.cost or 0.0 for one in ended) <= (limits.cost or 1e9)
    assert sum(one.calls for one in ended) <= (limits.calls or 1e9)
    assert sum(one.calls for one in ended) > 20


async def test_a_shard_plans_its_own_jobs_and_all_of_them_the_study(profile, questions, tmp_path: Path) -> None:
    """Of both stages, although the second reads every reply of the first."""
    study = questions(60, repeats=2, stages=2)
    whole = await run.plan(study, profile, prices=PRICES)
    parts = [await run.plan(study, profile, prices=PRICES, shard=(i, 3)) for i in range(3)]
    # In a plan all replies are one text, and yet no two questions of stage 1 are the same.
    assert sum(part.calls for part in parts) == whole.calls == 2 * 60 * 2
    assert sum(part.prompt_tokens for part in parts) == whole.prompt_tokens
    assert sum(part.cost or 0.0 for part in parts) == whole.cost
    assert all(0 < part.calls < whole.calls for part in parts)


async def test_a_share_below_the_plan_is_refused_before_any_call(server, profile, questions, tmp_path: Path) -> None:
    part = await run.plan(questions(40), profile, prices=PRICES, shard=(1, 2))
    assert part.cost is not None
    with pytest.raises(OperatorError, match=r"^shard 1/2 may make .* its share \(1/2\) of the limit is"):
        await run.execute(questions(40), tmp_path, profile, limits=StudyLimits(calls=2 * part.calls - 2), shard=(1, 2))
    small = StudyLimits(cost=2 * part.cost - 2)
    with pytest.raises(OperatorError, match=r"^shard 1/2 may cost .* its share \(1/2\) of the limit is"):
        await run.execute(questions(40), tmp_path, profile, limits=small, prices=PRICES, shard=(1, 2))
    assert not server.arrived
    enough = StudyLimits(cost=2 * part.cost, calls=2 * part.calls)
    done = await run.execute(questions(40), tmp_path, profile, limits=enough, prices=PRICES, shard=(1, 2))
    assert (done.complete, done.calls) == (True, part.calls)


async def test_a_shard_that_waits_for_the_others_says_so(profile, questions, tmp_path: Path) -> None:
    done = await run.execute(questions(20, stages=2), tmp_path, profile, shard=(0, 2))
    assert (done.waiting, done.failed) == (True, 0)


PAPER = Steps(
    data=(Items(items=10, options=0.3),),
    ladders={
        "bloomwise": Ladder(verdicts=True),
        "six": Ladder(levels=("remembering", "understanding", "applying", "analyzing", "evaluating", "creating")),
        "cumulative": Ladder(context="cumulative"),
        "without-line": Ladder(line=False),
        "warm": Ladder(temperature=0.7),
    },
    methods=("cot", "paraphrases", "self_consistency_3", "self_consistency_5", "self_consistency_matched"),
    repeat_control=3,
)
"""Ladders that share levels, and samples that all three forms of self-consistency begin with."""


def study_of(name: str) -> tuple[Any, Ask]:
    if name == "priors":
        config: Any = configs.read(system("icl_priors"), "tiny")
        generated = Generated(train=40, dev=20, test=30)
        config = replace(config, data=replace(config.data, generated=generated))
        mind = SimulatedRespondent(Respondent(), of_corpus(generate(0, Sizes(40, 20, 30))))
        return priors.make(config, None), SimulatedAsk(mind)
    tiny: Any = configs.read(system("bloomwise"), "tiny")
    config = PAPER if name == "paper" else replace(tiny, data=(Items(items=5, options=0.2),))
    return bloomwise.make(config, None), SimulatedAsk(SimulatedSolver(Solver(), of_study(config, None)))


@pytest.mark.parametrize("name", ["tiny", "paper", "priors"])
async def test_shards_together_pay_for_no_call_that_the_whole_would_not(name: str, tmp_path: Path) -> None:
    profile = Profile(base_url="http://nowhere/v1", model="m", concurrency=4)
    study, ask = study_of(name)
    whole = await run.execute(study, tmp_path / "whole", profile, client=ask)
    paid = []
    for i in range(3):
        ended = await run.execute(study, tmp_path / str(i), profile, client=ask, shard=(i, 3))
        assert ended.waiting
        paid.append(ended.paid)
    await run.merge([tmp_path / str(i) for i in range(3)], tmp_path / "merged")
    rest = await run.execute(study, tmp_path / "merged", profile, client=ask)
    assert (whole.complete, rest.complete) == (True, True)
    assert min(paid) > 0
    assert sum(paid) + rest.paid == rest.calls == whole.paid
    parts = [await run.plan(study, profile, shard=(i, 3)) for i in range(3)]
    assert sum(part.calls for part in parts) == (await run.plan(study, profile)).calls


async def test_one_problem_of_two_sets_is_asked_by_one_shard() -> None:
    """As GSM-hard has some problems of GSM8K unchanged, under ids of its own."""
    profile = Profile(base_url="http://nowhere/v1", model="m")
    one = problems(12, seed=1)
    sets = {"gsm8k_test": one, "gsm_hard": tuple(replace(same, id=f"hard-{same.id}") for same in one)}
    study = bloomwise.BloomWise(replace(PAPER, repeat_control=0), sets, dict.fromkeys(sets, ()))
    parts = [await run.plan(study, profile, shard=(i, 4)) for i in range(4)]
    assert min(part.calls for part in parts) > 0
    assert sum(part.calls for part in parts) == (await run.plan(study, profile)).calls


def test_what_decides_the_shard_is_the_text_else_the_item_else_the_job() -> None:
    async def work(ask: Ask) -> None: ...

    def place(*names: str) -> int:
        (found,) = [i for i in range(1000) if in_shard(Job(names[0], work, *names[1:]), (i, 1000))]
        return found

    assert place("a/cot", "a", "text") == place("b/pot", "b", "text") == place("text")
    assert place("a/cot", "a") == place("a/pot", "a") == place("a") != place("a/cot")

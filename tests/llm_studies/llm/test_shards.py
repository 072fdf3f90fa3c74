"""Shards know nothing of one another, and together keep to the limits of the study."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import OperatorError
from contracts.llm import Price, Prices
from contracts.studies import Limits
from llm_studies.llm import run
from llm_studies.llm.shards import WHOLE, share

PRICES = Prices(models={"m": Price(prompt=1e6, completion=1e6)})
"""One unit per token."""


@given(cost=st.floats(1e-6, 1e6), calls=st.integers(1, 10**6), count=st.integers(1, 500))
def test_the_shares_add_up_to_the_limits(cost: float, calls: int, count: int) -> None:
    parts = [share(Limits(cost=cost, calls=calls, invalid=0.2), (i, count)) for i in range(count)]
    assert sum(part.calls or 0 for part in parts) == calls
    assert sum(part.cost or 0.0 for part in parts) == pytest.approx(cost, rel=1e-9)
    assert {part.invalid for part in parts} == {0.2}


def test_without_limits_there_is_no_share() -> None:
    assert share(Limits(), (1, 3)) == Limits()
    assert share(Limits(cost=2.0, calls=3), WHOLE) == Limits(cost=2.0, calls=3)


@pytest.mark.parametrize("limits", [Limits(cost=700.0), Limits(calls=31)])
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
        await run.execute(questions(40), tmp_path, profile, limits=Limits(calls=2 * part.calls - 2), shard=(1, 2))
    small = Limits(cost=2 * part.cost - 2)
    with pytest.raises(OperatorError, match=r"^shard 1/2 may cost .* its share \(1/2\) of the limit is"):
        await run.execute(questions(40), tmp_path, profile, limits=small, prices=PRICES, shard=(1, 2))
    assert not server.arrived
    enough = Limits(cost=2 * part.cost, calls=2 * part.calls)
    done = await run.execute(questions(40), tmp_path, profile, limits=enough, prices=PRICES, shard=(1, 2))
    assert (done.complete, done.calls) == (True, part.calls)


async def test_a_shard_that_waits_for_the_others_says_so(profile, questions, tmp_path: Path) -> None:
    done = await run.execute(questions(20, stages=2), tmp_path, profile, shard=(0, 2))
    assert (done.waiting, done.failed) == (True, 0)

"""A response of status 200 is billed, whole or not: the caps hold over what a server bills, not over what is of use."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.errors import OperatorError
from contracts.llm import CallRow, Price, Prices, Usage
from contracts.studies import StudyLimits
from llm_studies.llm import run
from llm_studies.llm.ask import CapReached
from llm_studies.llm.budget import Bill, Budget
from llm_studies.llm.folder import journals
from llm_studies.llm.journal import Paid, lines, paid

PRICES = Prices(models={"m": Price(prompt=1e6, completion=1e6)})
"""One unit per token."""

USAGE = {"usage": {"prompt_tokens": 12, "completion_tokens": 5}}
STATED, WORST = 12 + 5, 12 + 16
"""Tokens of "question n" as the server counts them, and as we do where it does not: ceil(10 / 3) + 8, and the longest
completion."""

HALF: dict[str, tuple[int, dict[str, Any]]] = {
    "no choices": (STATED, {"change": lambda reply: reply | USAGE | {"choices": []}}),
    "no finish reason": (
        STATED,
        {"change": lambda reply: reply | USAGE | {"choices": [{"message": {"content": "x"}, "finish_reason": None}]}},
    ),
    "half JSON": (WORST, {"body": b'{"choices": [{"mess'}),
    "no usage": (WORST, {"change": lambda reply: reply | {"choices": [], "usage": None}}),
}
"""Responses of status 200 that are no reply, and what they cost."""


def rows(folder: Path) -> list[CallRow]:
    return [row for path in journals(folder) for row, _, _ in lines(path)]


@pytest.fixture
def billed(server, fault) -> Callable[..., list[int]]:
    """``billed(name, which)``: arrivals of a key for which ``which`` holds get that half reply. The bills, one a
    response."""

    def script(name: str, which: Callable[[int], bool], other: int = 200) -> list[int]:
        bills: list[int] = []

        def scripted(body: dict[str, Any], arrival: int) -> Any:
            if "question" not in str(body):
                return fault()  # the probe's
            if which(arrival):
                bills.append(HALF[name][0])
                return fault(**HALF[name][1])
            if other == 200:
                bills.append(STATED)
            return fault(status=other, change=lambda reply: reply | USAGE)

        server.script = scripted
        return bills

    return script


@pytest.fixture
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a plan was wrong: the run's own check must hold without it."""
    monkeypatch.setattr("llm_studies.llm.run.affordable", lambda *_: None)


@pytest.mark.parametrize("name", HALF)
async def test_what_is_billed_without_a_reply_is_in_the_sums(profile, questions, tmp_path, billed, name) -> None:
    bills = billed(name, lambda arrival: arrival < 2)
    ended = await run.execute(questions(9), tmp_path, profile, prices=PRICES)
    assert (ended.complete, ended.calls, ended.paid, ended.lost) == (True, 9, 9, 18)
    assert ended.cost == sum(bills)
    assert len(bills) == 27
    assert [row.lost.responses for row in rows(tmp_path) if row.lost is not None] == [2] * 9
    found = await run.report(questions(9), tmp_path, profile, prices=PRICES)
    assert (found.calls, found.cost) == (9, 9 * STATED)  # the replies alone
    again = await run.execute(questions(9), tmp_path, profile, prices=PRICES)
    assert (again.paid, again.cost, again.lost) == (0, ended.cost, 18)


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("limits", [StudyLimits(cost=800.0), StudyLimits(calls=25)])
async def test_a_server_of_half_replies_cannot_overrun_the_caps(
    profile, questions, tmp_path: Path, billed, unplanned, name, limits
) -> None:
    bills = billed(name, lambda arrival: arrival % 4 < 3)
    profile = msgspec.structs.replace(profile, attempts=4)
    ended = await run.execute(questions(200), tmp_path, profile, limits=limits, prices=PRICES)
    assert "reached its limits" in (ended.stopped or "")
    assert ended.cost == sum(bills)
    if limits.cost is not None:
        assert limits.cost - WORST < sum(bills) <= limits.cost
    else:
        assert ended.calls + ended.lost == len(bills) == limits.calls


@pytest.mark.parametrize("name", HALF)
async def test_calls_that_never_succeed_are_paid_for_too(
    profile, questions, tmp_path: Path, billed, unplanned, name
) -> None:
    bills = billed(name, lambda arrival: True)
    profile = msgspec.structs.replace(profile, attempts=3, concurrency=2)
    ended = await run.execute(questions(15), tmp_path, profile, limits=StudyLimits(cost=500.0), prices=PRICES)
    assert (ended.calls, ended.lost) == (0, len(bills))
    assert ended.cost == sum(bills) <= 500.0
    assert "reached its limits" in (ended.stopped or "")
    assert sum(row.lost.responses for row in rows(tmp_path) if row.lost) == len(bills)


async def test_what_was_lost_counts_when_the_plan_is_held_against_the_limits(
    profile, questions, tmp_path: Path, billed
) -> None:
    billed("half JSON", lambda arrival: arrival < 2)
    await run.execute(questions(9), tmp_path, profile, prices=PRICES)
    assert paid(tmp_path).lost == 18
    with pytest.raises(OperatorError, match=r"the study may make 28 calls"):
        await run.execute(questions(10), tmp_path, profile, limits=StudyLimits(calls=27))
    assert (await run.execute(questions(10), tmp_path, profile, limits=StudyLimits(calls=30))).complete


async def test_a_bill_is_kept_when_the_study_is_stopped_between_two_attempts(
    profile, questions, tmp_path: Path, billed
) -> None:
    bills = billed("no choices", lambda arrival: arrival == 0, 401)
    with pytest.raises(OperatorError, match="refuses the key"):
        await run.execute(questions(1), tmp_path, profile, prices=PRICES)
    (row,) = rows(tmp_path)
    assert row.lost is not None
    assert (row.reply, row.lost.responses, paid(tmp_path).lost) == (None, 1, 1)
    assert row.lost.usage.prompt_tokens + row.lost.usage.completion_tokens == sum(bills)
    assert "refuses the key" in (row.error or "")


async def test_two_calls_that_both_lost_do_not_wait_for_one_another(make_request) -> None:
    """While it waits to try again a call is not under way: the first has the rest of the budget, the second ends."""
    budget = Budget(StudyLimits(calls=3), None, Paid())
    first, second = Bill(budget, make_request("a")), Bill(budget, make_request("b"))
    await first.attempt()
    await second.attempt()
    first.lose(None)
    second.lose(None)
    await first.attempt()
    waiting = asyncio.create_task(second.attempt())
    await asyncio.sleep(0)
    assert not waiting.done()
    first.lose(None)
    with pytest.raises(CapReached):
        await waiting
    assert (budget.calls, first.lost.responses, second.lost.responses) == (3, 2, 1)


async def test_the_count_of_a_half_reply_raises_the_next_worst_case(make_request) -> None:
    """Our estimate of the prompt is 11 tokens, the server's count 110: ten times 9 (1 byte, one message) is 90."""
    budget = Budget(StudyLimits(cost=500.0), PRICES.models["m"], Paid())
    request = make_request("How many?", max_tokens=16)
    bill = Bill(budget, request)
    await bill.attempt()
    bill.lose(Usage(prompt_tokens=110, completion_tokens=0))
    assert budget.spent == 110.0
    assert budget.worst(make_request("x", max_tokens=5)) == Usage(prompt_tokens=90, completion_tokens=5)
    await bill.attempt()
    bill.lose(None)
    assert budget.spent == 110.0 + 110.0 + 16.0
    await bill.attempt()
    bill.close(None)  # an error has no reply; what was lost is in the journal by now
    assert (budget.spent, budget.calls) == (0.0, 0)

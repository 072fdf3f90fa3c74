"""The repeat control: how often temperature 0 gives another reply to the identical request (bloomwise.md 8.13)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from scipy.stats import binomtest

from contracts.llm import ChatRequest, Reply, Usage
from contracts.studies import StudyReport
from llm_studies.bloomwise.config import Config, Items
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.repeats import repeated
from llm_studies.bloomwise.rules import Rule
from llm_studies.bloomwise.study import make

CONFIG = Config(data=(Items(items=12),), methods=(), repeat_control=8)


class Moody:
    """A server that says 7 to everything, and to the first requests that are repeated something else."""

    def __init__(self, *moods: str) -> None:
        self._moods = list(moods)
        self.replies: dict[tuple[ChatRequest, int], Reply] = {}

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        if (request, repeat) not in self.replies:
            text = self._moods.pop(0) if repeat and self._moods else "ANSWER: 7"
            usage = Usage(prompt_tokens=5, completion_tokens=2)
            self.replies[request, repeat] = Reply(text=text, finish="stop", usage=usage)
        return self.replies[request, repeat]

    @property
    def repeats(self) -> list[ChatRequest]:
        return [request for request, repeat in self.replies if repeat]


async def reported(config: Config, ask: Moody) -> StudyReport:
    study = make(config, None)
    for job in await study.stage(0, ask):
        await job.work(ask)
    asked = len(ask.replies)
    report = await study.report(ask)
    assert len(ask.replies) == asked == report.calls
    return report


def control(report: StudyReport) -> dict[str, tuple[Any, ...]]:
    return {str(row[0]): row[1:] for table in report.tables if table.name == "repeat-generated" for row in table.rows}


async def test_flips_of_texts_and_of_answers_with_their_interval() -> None:
    """Of eight: other words for the same number, the same number in other digits, another number, and no number."""
    report = await reported(CONFIG, Moody("It is ANSWER: 7", "ANSWER: 7.0", "ANSWER: 8", "I cannot say."))
    rows = control(report)
    for name, differ in (("text of the reply", 4), ("answer", 2)):
        bounds = binomtest(differ, 8).proportion_ci(method="wilson")
        assert rows[name] == pytest.approx((8, differ, 100 * differ / 8, 100 * bounds.low, 100 * bounds.high))
    assert [one for one in report.warnings if "two ways at temperature 0 (4 of 8 replies, 2 answers)" in one]


async def test_a_server_of_one_mind_is_not_warned_of() -> None:
    report = await reported(CONFIG, Moody())
    assert [row[1:3] for row in control(report).values()] == [(0, 0), (0, 0)]
    assert not any("two ways" in one for one in report.warnings)


async def test_no_answer_twice_is_no_other_answer() -> None:
    class Mute(Moody):
        async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
            return msgspec.structs.replace(await super().__call__(request, repeat), text="word " * (repeat + 1))

    assert [row[1] for row in control(await reported(CONFIG, Mute())).values()] == [8, 0]


async def test_only_the_first_level_of_the_first_problems_is_asked_again_with_the_ladders_own_request() -> None:
    ladders = {"main": Ladder(levels=("applying", "remembering"), verdicts=True), "other": Ladder()}
    config = msgspec.structs.replace(CONFIG, ladders=ladders, repeat_control=3)
    ask, without = Moody(), Moody()
    await reported(config, ask)
    await reported(msgspec.structs.replace(config, repeat_control=0), without)
    assert set(ask.replies) - set(without.replies) == {(request, 1) for request in ask.repeats}
    assert len(ask.repeats) == 3
    for request in ask.repeats:
        assert (request, 0) in ask.replies
        assert request.temperature == 0
        assert "Way of thinking: applying" in request.messages[-1].content


async def test_without_a_control_there_is_no_table() -> None:
    assert control(await reported(msgspec.structs.replace(CONFIG, repeat_control=0), Moody())) == {}


@pytest.mark.parametrize(
    "ladder",
    [
        Ladder(temperature=0.7),
        Ladder(rule=Rule(kind="self_eval")),
        Ladder(rule=Rule(kind="fixed", level=3)),
        Ladder(mode="programme", repair=2),
    ],
)
async def test_two_calls_at_temperature_0_whatever_the_ladder(case: Callable[..., Any], ladder: Ladder) -> None:
    ask = Moody("ANSWER: 8")
    pair = await repeated(case(ask), ladder)
    assert [(request.temperature, repeat) for request, repeat in ask.replies] == [(0, 0), (0, 1)]
    assert len({request for request, _ in ask.replies}) == 1
    assert pair.text
    assert pair.answer is (ladder.mode == "text")  # no programme in either: no answer twice
    named = "applying" if ladder.rule.kind == "fixed" else "remembering"
    assert pair.once.name == named

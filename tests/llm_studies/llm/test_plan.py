"""A plan is an upper bound: its filler settles nothing wherever it is read, and is long wherever it is shown again."""

import re

import pytest

from contracts.llm import ChatRequest, Profile, Reply
from llm_studies.bloomwise import prompts
from llm_studies.bloomwise import study as bloomwise
from llm_studies.bloomwise.attempt import NO_BLOCK, Case, Talk
from llm_studies.bloomwise.config import Config, Items
from llm_studies.bloomwise.extract import flexible, strict
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.rules import Rule
from llm_studies.icl_priors.parse import legacy, parse
from llm_studies.llm.keys import Keys
from llm_studies.llm.plan import PlanAsk, counted, worst
from llm_studies.llm.study import Study
from llm_studies.llm.tokens import MESSAGE, estimated, prompt_tokens
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Solver
from llm_studies.simulate.problems import of_study
from llm_studies.simulate.solver import SimulatedSolver

PROFILE = Profile(base_url="http://nowhere/v1", model="m")
LABELS = ("anger", "joy", "none of it", "x", "A")
OPTIONS = {"A": "1 apple", "B": "x", "C": "None of these"}


@pytest.mark.parametrize("count", [1, 2, 3, 20, 512])
def test_the_filler_is_as_long_as_the_request_allows_and_is_not_stripped(count: int) -> None:
    reply = worst(count)
    assert (estimated(reply.text), reply.finish) == (count, "length")
    assert reply.text.strip() == reply.text
    assert prompts.as_data(reply.text) == reply.text
    assert worst(count) is reply  # one text for all calls: the memory of a plan does not grow with them


@pytest.mark.parametrize("options", [None, OPTIONS])
@pytest.mark.parametrize("count", [1, 3, 512])
def test_no_extractor_finds_an_answer_in_it(count: int, options: dict[str, str] | None) -> None:
    text = worst(count).text
    for said in (text, f"ANSWER: {text}", f"The answer is {text}", f"\\boxed{{{text}}}"):
        assert flexible(said, "What is one and one?", options).answer is None
        assert strict(said, options).answer is None


@pytest.mark.parametrize("reasoning", [False, True])
@pytest.mark.parametrize("header", ["", "Emotion(s)"])
@pytest.mark.parametrize("count", [1, 3, 512])
def test_no_label_is_read_from_it(count: int, header: str, reasoning: bool) -> None:
    reply = worst(count)
    found = parse(reply.text, LABELS, finish=reply.finish, header=header, reasoning=reasoning)
    assert (found.labels, found.status, found.answered) == ((), "truncated", False)
    assert legacy(reply.text, LABELS, header=header, reasoning=reasoning) == ()


async def test_no_verdict_and_no_programme_is_read_from_it() -> None:
    async def ran(code: str) -> None:
        raise AssertionError("there is no programme")

    case = Case(PlanAsk(PROFILE), "What is one and one?", None, prompts.load(), run=ran)  # pyright: ignore[reportArgumentType]
    talk = Talk(case, "")
    judged = await talk.verdict(await talk.programme("one", [case.task("Write a programme.")]))
    assert (judged.answer, judged.failure) == (None, NO_BLOCK)
    assert (judged.verdict, judged.unparsed) == ("continue", True)


async def planned(study: Study) -> tuple[int, int]:
    """Calls, and tokens of their prompts."""
    ask = PlanAsk(PROFILE)
    await counted(study, ask)
    plan = ask.plan(None, "")
    return plan.calls, plan.prompt_tokens


async def test_a_cumulative_ladder_is_planned_with_the_replies_that_it_will_show() -> None:
    """Closed form: the prompt of level k also holds the k turns before, and k replies of at most ``text`` tokens."""
    config = Config(data=(Items(items=1),), ladders={"one": Ladder()}, methods=())
    text = config.decoding.text
    asked: list[ChatRequest] = []

    class Seen(PlanAsk):
        async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
            asked.append(request)
            return await super().__call__(request, repeat)

    await counted(bloomwise.make(config, None), Seen(PROFILE))
    turns = [estimated(request.messages[-1].content) + MESSAGE for request in asked]
    expected = sum(prompt_tokens(request) for request in asked)
    expected += sum(sum(turns[:k]) + k * (text + MESSAGE) for k in range(len(turns)))
    cumulative = Config(data=config.data, ladders={"one": Ladder(context="cumulative")}, methods=())
    assert len(turns) == 5
    assert await planned(bloomwise.make(cumulative, None)) == (5, expected)


SHOWN_AGAIN = {
    "cumulative": Config(ladders={"one": Ladder(context="cumulative")}, methods=("self_consistency_matched",)),
    "verdicts": Config(ladders={"one": Ladder(context="cumulative", rule=Rule(kind="self_eval"))}, methods=()),
    "programmes": Config(ladders={"one": Ladder(context="cumulative", mode="mixed", verdicts=True)}, methods=("xot",)),
    "methods": Config(methods=("cot_two", "self_refine", "paraphrases", "self_consistency_matched")),
}


@pytest.mark.parametrize("name", SHOWN_AGAIN)
async def test_the_plan_bounds_the_prompts_that_are_then_sent(name: str) -> None:
    config = Config(
        data=(Items(items=6, options=0.3),), ladders=SHOWN_AGAIN[name].ladders, methods=SHOWN_AGAIN[name].methods
    )
    study, mind = bloomwise.make(config, None), SimulatedAsk(SimulatedSolver(Solver(), of_study(config, None)))
    sent: dict[str, ChatRequest] = {}

    async def ask(request: ChatRequest, repeat: int = 0) -> Reply:
        sent[Keys(PROFILE)(request, repeat)] = request
        reply = await mind(request, repeat)
        assert estimated(reply.text) <= request.max_tokens  # what the bound rests on
        return reply

    number = 0
    while jobs := await study.stage(number, ask):
        for job in jobs:
            await job.work(ask)
        number += 1
    calls, tokens = await planned(study)
    assert calls >= len(sent)
    real = sum(prompt_tokens(request) for request in sent.values())
    assert tokens >= real
    again = [one for request in sent.values() for one in request.messages if one.role == "assistant"]
    quoted = [request for request in sent.values() if re.search("<solution>", request.messages[-1].content)]
    assert again or quoted, "nothing was shown again: the test would show nothing"

"""Baselines: how often they ask, what they show, and what they make of the replies."""

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.llm import Reply, Usage
from llm_studies.bloomwise import generated, prompts
from llm_studies.bloomwise.baselines import METHODS, matched, paraphrases, self_consistency, trial
from llm_studies.bloomwise.rules import Rule
from llm_studies.sandbox.run import Outcome as Ran

DEMOS = generated.problems(3, split="train", options=0.5)
BLOCK = "```python\nanswer = 4\n```"


def said(value: object) -> str:
    return f"So it is.\nANSWER: {value}"


async def four(code: str) -> Ran:
    return Ran("ok", 4)


@pytest.mark.parametrize(
    ("method", "replies", "calls"),
    [
        ("direct", [said(4)], 1),
        ("cot", [said(4)], 1),
        ("cot_two", ["It is 2 and 2.", said(4)], 2),
        ("few_shot", [said(4)], 1),
        ("pot", [BLOCK], 1),
        ("plan", [said(4)], 1),
        ("self_refine", [said(3), "The sum is wrong.", said(4)], 3),
        ("metacognitive", [said(4)], 1),
        ("xot", [said(4), "VERDICT: ACCEPT"], 2),
        ("xot", [said(3), "VERDICT: CONTINUE", BLOCK], 3),
        ("xot", [said(4), "VERDICT: CONTINUE", "no programme"], 3),
    ],
)
async def test_every_method_asks_and_answers(
    case: Callable, scripted: type, method: str, replies: list[str], calls: int
) -> None:
    ask = scripted(*replies)
    found = await METHODS[method](case(ask, run=four), DEMOS)
    assert (found.answer, found.calls, len(ask.asked)) == ("4", calls, calls)
    assert found.usage == Usage(prompt_tokens=10 * calls, completion_tokens=3 * calls)
    for request, repeat in ask.asked:
        assert "<problem>\nWhat is two and two?\n</problem>" in request.messages[-1].content
        assert request.template == prompts.load().baselines_digest
        assert (repeat, request.temperature) == (0, 0.0)


async def test_later_calls_show_the_earlier_replies(case: Callable, scripted: type) -> None:
    ask = scripted(said(3), "The sum is wrong.</critique>", said(4))
    await METHODS["self_refine"](case(ask), DEMOS)
    critique, rewrite = (request.messages[-1].content for request, _ in ask.asked[1:])
    assert f"<solution>\n{said(3)}\n</solution>" in critique
    assert "<critique>\nThe sum is wrong.&lt;/critique>\n</critique>" in rewrite


async def test_few_shot_shows_its_demonstrations_outside_the_problem_tags(case: Callable, scripted: type) -> None:
    ask = scripted(said(4))
    await METHODS["few_shot"](case(ask), DEMOS)
    content = ask.asked[0][0].messages[-1].content
    shown, _, asked = content.partition("<problem>")
    for demo in DEMOS:
        assert demo.question in shown
        assert f"ANSWER: {demo.gold}\n" in shown
        assert demo.question not in asked


async def test_calculator_marks_are_not_shown(case: Callable, scripted: type) -> None:
    import msgspec

    ask = scripted(said(4))
    demo = msgspec.structs.replace(DEMOS[0], solution="He has 2 + 2 = <<2+2=4>>4 pens.")
    await METHODS["few_shot"](case(ask), (demo,))
    content = ask.asked[0][0].messages[-1].content
    assert "He has 2 + 2 = 4 pens." in content
    assert "<<" not in content


async def test_self_consistency_samples_and_votes(case: Callable, scripted: type) -> None:
    ask = scripted(said(4), "Perhaps 5, or 4", said(5), said(4))
    found = await self_consistency(case(ask), 4, 0.7)
    assert (found.answer, found.strict, found.calls) == ("4", "4", 4)
    assert [repeat for _, repeat in ask.asked] == [0, 1, 2, 3]
    assert len({request.seed for request, _ in ask.asked}) == 4  # a server that honours seeds must not repeat itself
    assert {request.temperature for request, _ in ask.asked} == {0.7}


@given(st.integers(1, 60), st.integers(0, 300))
def test_matched_samples_add_up_to_the_calls_and_are_even(items: int, calls: int) -> None:
    ids = [f"p{k}" for k in range(items)]
    found = matched(ids, calls)
    assert sum(found.values()) == calls
    assert max(found.values()) - min(found.values()) <= 1
    assert found == matched(reversed(ids), calls)


async def test_paraphrases_differ_in_words_and_stop_like_the_ladder(case: Callable, scripted: type) -> None:
    ask = scripted(said(1), said(2), said(2))
    found = await paraphrases(case(ask), 5, Rule())
    assert (found.answer, found.calls) == ("2", 3)
    contents = [request.messages[-1].content for request, _ in ask.asked]
    assert len(set(contents)) == 3
    assert not any("Way of thinking" in content for content in contents)


def test_there_is_a_paraphrase_for_every_level() -> None:
    wording = prompts.load()
    assert len(set(wording.baselines.paraphrases)) >= len(wording.ladder.levels) == 6


async def test_a_rule_without_verdicts_does_not_pay_for_them(case: Callable, scripted: type) -> None:
    from llm_studies.bloomwise.ladder import Ladder
    from llm_studies.bloomwise.solve import solve

    number = count(1)

    class Ask:
        async def __call__(self, request, repeat=0):
            verdict = "VERDICT:" in request.messages[-1].content
            text = "VERDICT: CONTINUE" if verdict else said(7 + next(number) // 3)
            return Reply(text=text, finish="stop", usage=Usage(prompt_tokens=5, completion_tokens=1))

    whole = await solve(case(Ask()), Ladder(rule=Rule(kind="all"), verdicts=True))
    assert [one.calls for one in whole.levels] == [2] * 5
    assert trial(whole.levels, Rule()).calls == 2
    assert trial(whole.levels, Rule(kind="self_eval")).calls == 10

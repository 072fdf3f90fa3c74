"""What BloomWise is compared with (bloomwise.md 2): other methods through the same calls, extraction and account."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from contracts.llm import Message, Usage
from llm_studies.bloomwise import prompts
from llm_studies.bloomwise.attempt import Attempt, Case, Talk, total
from llm_studies.bloomwise.data import Problem
from llm_studies.bloomwise.rules import Rule, decide, majority

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""GSM8K's marks inside its solutions."""


class Trial(NamedTuple):
    """What a method makes of a problem."""

    strict: str | None
    answer: str | None
    attempts: tuple[Attempt, ...]

    @property
    def calls(self) -> int:
        return sum(attempt.calls for attempt in self.attempts)

    @property
    def usage(self) -> Usage:
        return total(attempt.usage for attempt in self.attempts)


Method = Callable[[Case, Sequence[Problem]], Awaitable[Attempt]]
"""One attempt; the problems are the demonstrations."""


async def direct(case: Case, demos: Sequence[Problem]) -> Attempt:
    return await _one("direct", case, case.wording.baselines.direct)


async def cot(case: Case, demos: Sequence[Problem]) -> Attempt:
    """Zero-shot chain of thought (arXiv 2205.11916) in one call, with the answer line."""
    return await _one("cot", case, case.wording.baselines.cot)


async def cot_two(case: Case, demos: Sequence[Problem]) -> Attempt:
    """The same as published: a second call asks for the result."""
    talk = _talk(case)
    thought = await talk.text("cot_two", [case.task(case.wording.baselines.cot)])
    ask = talk.about(f"{case.wording.baselines.cot_answer}\n\n{case.wording.frame.line}", thought)
    return await talk.text("cot_two", [ask])


async def few_shot(case: Case, demos: Sequence[Problem]) -> Attempt:
    """Few-shot chain of thought (arXiv 2201.11903)."""
    words = case.wording.baselines
    shown = [prompts.fill(words.example, **_shown(demo)) for demo in demos]
    return await _one("few_shot", case, "\n\n".join([words.few_shot, *(example.strip() for example in shown)]))


async def pot(case: Case, demos: Sequence[Problem]) -> Attempt:
    """Programme of thoughts (arXiv 2211.12588)."""
    return await _talk(case).programme("pot", [_programme(case)])


async def plan(case: Case, demos: Sequence[Problem]) -> Attempt:
    """Plan-and-solve (arXiv 2305.04091)."""
    return await _one("plan", case, case.wording.baselines.plan)


async def self_refine(case: Case, demos: Sequence[Problem]) -> Attempt:
    """Self-refine (arXiv 2303.17651): one critique, one rewriting."""
    talk, words = _talk(case), case.wording.baselines
    first = await talk.text("self_refine", [_lined(case, words.cot)])
    critique = await talk.say([talk.about(words.critique, first)], case.decoding.text)
    shown = prompts.as_data(critique.text.strip())
    return await talk.text(
        "self_refine", [talk.about(f"{words.rewrite}\n\n{case.wording.frame.line}", first, critique=shown)]
    )


async def metacognitive(case: Case, demos: Sequence[Problem]) -> Attempt:
    """Metacognitive prompting (arXiv 2308.05342) in one call."""
    return await _one("metacognitive", case, case.wording.baselines.metacognitive)


async def xot(case: Case, demos: Sequence[Problem]) -> Attempt:
    """After XoT (arXiv 2310.14628): verify a chain of thought, and switch to a programme when it is not accepted."""
    talk = _talk(case)
    first = await talk.verdict(await talk.text("xot", [_lined(case, case.wording.baselines.cot)]))
    if first.verdict == "accept":
        return first
    second = await talk.programme("xot", [_programme(case)])
    return first._replace(usage=second.usage, calls=second.calls) if second.answer is None else second


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "direct": direct,
        "cot": cot,
        "cot_two": cot_two,
        "few_shot": few_shot,
        "pot": pot,
        "plan": plan,
        "self_refine": self_refine,
        "metacognitive": metacognitive,
        "xot": xot,
    }
)
PROGRAMMING = frozenset({"pot", "xot"})


async def self_consistency(case: Case, n: int, temperature: float) -> Trial:
    """Majority of ``n`` sampled chains of thought (arXiv 2203.11171); strict answers have their own."""
    turn = _lined(case, case.wording.baselines.cot)
    samples = tuple(
        [await _talk(case).text(f"sample {k}", [turn], temperature=temperature, repeat=k) for k in range(n)]
    )
    line = samples[majority([sample.strict for sample in samples])].strict
    return Trial(line, samples[majority([sample.answer for sample in samples])].answer, samples)


async def paraphrases(case: Case, count: int, rule: Rule) -> Trial:
    """The ladder's control: as many prompts, other words and no way of thinking, under the same rule."""
    done: list[Attempt] = []
    for k, words in enumerate(case.wording.baselines.paraphrases[:count]):
        done.append(await _one(f"paraphrase {k + 1}", case, words))
        if decide(rule, [attempt.answer for attempt in done]).ended:
            break
    return trial(done, rule)


def trial(attempts: Sequence[Attempt], rule: Rule) -> Trial:
    """What a rule puts out of attempts that were made, and the account of those that it needed."""
    outcome = decide(rule, [attempt.answer for attempt in attempts], [attempt.verdict for attempt in attempts])
    chosen, asked = attempts[outcome.level], attempts[: outcome.asked]
    counted = asked if rule.kind == "self_eval" else [attempt.unjudged() for attempt in asked]
    return Trial(chosen.strict, chosen.answer, tuple(counted))


def matched(ids: Iterable[str], calls: int) -> dict[str, int]:
    """Samples by problem, ``calls`` in all and as even as can be; which problems get one more is drawn by their ids."""
    drawn = sorted(ids, key=lambda one: hashlib.sha256(one.encode()).digest())
    each, more = divmod(calls, len(drawn))
    return {one: each + (k < more) for k, one in enumerate(drawn)}


def _talk(case: Case) -> Talk:
    return Talk(case, case.wording.baselines_digest)


async def _one(name: str, case: Case, instruction: str) -> Attempt:
    return await _talk(case).text(name, [_lined(case, instruction)])


def _lined(case: Case, instruction: str) -> Message:
    return case.task(f"{instruction.strip()}\n\n{case.wording.frame.line.strip()}")


def _programme(case: Case) -> Message:
    return case.task(f"{case.wording.baselines.pot}\n\n{case.wording.frame.programme}")


def _shown(demo: Problem) -> dict[str, str]:
    solution = CALCULATOR.sub("", demo.solution or "")
    question = prompts.problem_block(demo.question, demo.options)
    return {"question": question, "solution": prompts.as_data(solution), "gold": demo.gold}

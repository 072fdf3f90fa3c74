"""Climbing the ladder: one attempt for each level, from simple to advanced, until the rule ends it."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from contracts.llm import Message
from llm_studies.bloomwise.attempt import Attempt, Case, Talk
from llm_studies.bloomwise.ladder import Ladder, instruction, levels_of, programmed
from llm_studies.bloomwise.rules import Outcome, Rule, decide


class Solution(NamedTuple):
    """The levels that were asked, and which of them counts."""

    levels: tuple[Attempt, ...]
    outcome: Outcome

    @property
    def chosen(self) -> Attempt:
        return self.levels[self.outcome.level]


async def climb(case: Case, ladder: Ladder) -> AsyncIterator[Attempt]:
    """Each level as it ends; the rule decides after each whether another one is asked.

    Raises OperatorError as ``levels_of``, and what ``Ask`` raises.
    """
    names = levels_of(ladder, case.wording)
    if ladder.temperature is not None:
        case = case._replace(decoding=replace(case.decoding, temperature=ladder.temperature))
    done: list[Attempt] = []
    said: list[Message] = []
    for name in names:
        turn = case.task(instruction(case, ladder, name))
        attempt = await _level(case, ladder, name, [*said, turn])
        if ladder.context == "cumulative":
            said += [turn, Message(role="assistant", content=attempt.text)]
        done.append(attempt)
        yield attempt
        if settle(done, ladder.rule).outcome.ended:
            return


async def solve(case: Case, ladder: Ladder) -> Solution:
    """The whole ladder. Raises as ``climb``."""
    return settle([attempt async for attempt in climb(case, ladder)], ladder.rule)


def settle(levels: Sequence[Attempt], rule: Rule) -> Solution:
    """What the rule makes of the levels so far, at least one."""
    return Solution(tuple(levels), decide(rule, [one.answer for one in levels], [one.verdict for one in levels]))


async def _level(case: Case, ladder: Ladder, name: str, turns: Sequence[Message]) -> Attempt:
    talk = Talk(case, case.wording.levels_digest)
    if programmed(ladder, name):
        attempt = await talk.programme(name, turns, ladder.repair)
    else:
        attempt = await talk.text(name, turns)
    return await talk.verdict(attempt) if ladder.verdicts or ladder.rule.kind == "self_eval" else attempt

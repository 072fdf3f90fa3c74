"""The ladder: which levels of Bloom's taxonomy are asked, in which order, and how."""

from typing import Annotated, Literal

from msgspec import Meta

from common.errors import OperatorError
from contracts._base import Record
from llm_studies.bloomwise.attempt import Case
from llm_studies.bloomwise.prompts import Wording, level_instruction
from llm_studies.bloomwise.rules import Rule

PROGRAMMED = frozenset({"applying", "analyzing"})
"""Mode ``mixed``: the levels that write a programme."""


class Ladder(Record, frozen=True, kw_only=True):
    """What is climbed, and how."""

    levels: str | Annotated[tuple[str, ...], Meta(min_length=1, max_length=6)] = "v2"
    """A preset of the ladder file, or names from it in any order."""
    rule: Rule = Rule()
    mode: Literal["text", "programme", "mixed"] = "text"
    context: Literal["independent", "cumulative"] = "independent"
    """``cumulative``: the conversation holds the levels before. Agreement is evidence only without it."""
    sentence: bool = True
    """False: each level is named, but what it asks is left out (ablation)."""
    line: bool = True
    """False: the reply is not asked for a line with the answer (measures extraction failures)."""
    verdicts: bool = False
    """Ask for the model's own verdict after each level although the rule needs none; for replays."""
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    """None: the study's."""
    repair: Annotated[int, Meta(ge=0, le=3)] = 0
    """Times that a programme which fails is asked for again, with its error."""


def levels_of(ladder: Ladder, wording: Wording) -> tuple[str, ...]:
    """The levels that are asked, in order. Raises OperatorError for one that the ladder file lacks, that stands there
    twice, or that a fixed rule asks for beyond the top."""
    names, rule = wording.names(ladder.levels), ladder.rule
    if len(set(names)) < len(names):
        raise OperatorError(f"the ladder has {max(names, key=names.count)!r} twice; name each level once")
    if rule.kind != "fixed":
        return names
    if rule.level > len(names):
        raise OperatorError(f"rule fixed asks for level {rule.level} of {len(names)}; name a lower one")
    return names[rule.level - 1 : rule.level]


def programmed(ladder: Ladder, name: str) -> bool:
    """Whether this level writes a programme."""
    return ladder.mode == "programme" or (ladder.mode == "mixed" and name in PROGRAMMED)


def instruction(case: Case, ladder: Ladder, name: str) -> str:
    """What one level asks."""
    programme = programmed(ladder, name)
    asked = level_instruction(case.wording, name, sentence=ladder.sentence, programme=programme)
    return f"{asked}\n\n{case.wording.frame.line}" if ladder.line and not programme else asked

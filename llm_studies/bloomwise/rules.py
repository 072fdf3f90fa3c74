"""Control rules over the answers of a ladder, in its order (spec. 1.1). Pure: running and replaying use the same ones.

Answers are compared with neighbours only: equality is a tolerance and not transitive. None never equals None.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from contracts._base import Positive, Record
from llm_studies.bloomwise.extract import same

Verdict = Literal["accept", "continue"]
Fallback = Literal["last", "majority"]


class Rule(Record, frozen=True, kw_only=True):
    """When a ladder ends, and which level's answer counts."""

    kind: Literal["converge", "self_eval", "majority", "fixed", "all"] = "converge"
    agree: Annotated[int, Meta(ge=2, le=6)] = 2
    """``converge``: consecutive levels with one answer that end the ladder (arXiv 2410.04094v2: two)."""
    level: Positive = 1
    """``fixed``: the only level that is asked, from 1."""
    fallback: Fallback = "last"
    """Whose answer counts where the rule never ended the ladder; the abstract does not say."""


class Outcome(NamedTuple):
    """What a rule makes of the answers so far."""

    level: int
    """Index of the level whose reply and answer are put out."""
    asked: int
    """Levels that were asked."""
    ended: bool
    """The rule ended the ladder: levels agreed, or the model accepted its own answer."""


class Hindsight(NamedTuple):
    """What nobody can know before the gold answer: for analysis only."""

    correct: bool
    asked: int
    """Up to the first right level; all where none is right."""


def decide(rule: Rule, answers: Sequence[str | None], verdicts: Sequence[Verdict | None] = ()) -> Outcome:
    """The outcome on the levels asked so far, at least one. While ``ended`` is false, another level may be asked."""
    match rule.kind:
        case "converge":
            return converge(answers, rule.agree, rule.fallback)
        case "self_eval":
            return self_eval(answers, verdicts, rule.fallback)
        case "majority":
            return Outcome(majority(answers), len(answers), ended=False)
        case "fixed" | "all":
            return Outcome(len(answers) - 1, len(answers), ended=False)


def converge(answers: Sequence[str | None], agree: int = 2, fallback: Fallback = "last") -> Outcome:
    """v2: stop when ``agree`` consecutive levels give the same answer; the earliest of them is put out."""
    run = 1
    for k in range(1, len(answers)):
        run = run + 1 if same(answers[k], answers[k - 1]) else 1
        if run == agree:
            return Outcome(k - agree + 1, k + 1, ended=True)
    return _fallen(answers, fallback)


def self_eval(
    answers: Sequence[str | None], verdicts: Sequence[Verdict | None], fallback: Fallback = "last"
) -> Outcome:
    """v1: stop at the first level whose own verdict is to accept it."""
    for k, verdict in enumerate(verdicts[: len(answers)]):
        if verdict == "accept":
            return Outcome(k, k + 1, ended=True)
    return _fallen(answers, fallback)


def majority(answers: Sequence[str | None]) -> int:
    """Index of the plurality answer: of the highest level that gave it, and of the highest level among tied answers."""
    votes = [sum(same(answer, other) for other in answers) for answer in answers]
    return max(range(len(answers)), key=lambda k: (votes[k], k))


def oracle(answers: Sequence[str | None], gold: str) -> Hindsight:
    """Right if any level is; stopped at the first that is."""
    first = next((k for k, answer in enumerate(answers) if same(answer, gold)), None)
    return Hindsight(first is not None, len(answers) if first is None else first + 1)


def _fallen(answers: Sequence[str | None], fallback: Fallback) -> Outcome:
    level = majority(answers) if fallback == "majority" else len(answers) - 1
    return Outcome(level, len(answers), ended=False)

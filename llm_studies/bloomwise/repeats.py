"""Is temperature 0 one answer? A level's identical request twice (bloomwise.md 8.13).

Batching servers answer one greedy request in two ways now and then; that much of any difference is the server's own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from common.claims.statistics import wilson_interval
from contracts.llm import ChatRequest, Reply
from contracts.studies import Cell, Table
from llm_studies.bloomwise.attempt import Attempt, Case
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.ladder import Ladder, levels_of
from llm_studies.bloomwise.rules import Rule
from llm_studies.bloomwise.solve import solve
from llm_studies.llm.ask import Ask

REPEAT = "repeat_control"


class Repeat(NamedTuple):
    """One request, asked twice."""

    once: Attempt
    again: Attempt

    @property
    def text(self) -> bool:
        """The replies differ."""
        return self.once.text != self.again.text

    @property
    def answer(self) -> bool:
        """The answers read from them differ; no answer twice is no difference."""
        one, other = self.once.answer, self.again.answer
        return (one is not None or other is not None) and not same(one, other)


async def repeated(case: Case, ladder: Ladder) -> Repeat:
    """The ladder's first level at temperature 0, twice; the ladder's own call is the first one where it is as cold.

    Raises as ``solve``.
    """
    first = levels_of(ladder, case.wording)[:1]
    alone = replace(ladder, levels=first, rule=Rule(kind="all"), verdicts=False, temperature=0.0, repair=0)
    once = await solve(case, alone)
    again = await solve(case._replace(ask=_again(case.ask)), alone)
    return Repeat(once.levels[0], again.levels[0])


def repeat_table(label: str, repeats: Sequence[Repeat]) -> Table:
    """How often the second reply was another one."""
    return Table(
        name=f"repeat-{label}",
        title=f"Repeat control on {label}: the identical request twice at temperature 0",
        columns=("what differs", "n", "differ", "differ, %", "low", "high"),
        rows=(
            _share("text of the reply", [pair.text for pair in repeats]),
            _share("answer", [pair.answer for pair in repeats]),
        ),
        note="95 % Wilson interval. Above 0, runs of one study differ by the server alone.",
    )


def _share(what: str, differ: Sequence[bool]) -> tuple[Cell, ...]:
    n, found = len(differ), sum(differ)
    interval = wilson_interval(found, n)
    return (what, n, found, 100 * found / n, 100 * interval.low, 100 * interval.high)


def _again(ask: Ask) -> Ask:
    async def again(request: ChatRequest, repeat: int = 0) -> Reply:
        return await ask(request, repeat + 1)

    return again

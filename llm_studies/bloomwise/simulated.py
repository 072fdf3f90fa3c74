"""Methods on the simulated solver, whose accuracies are known: the machinery at work, not what a model would do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from common.claims.harness import Condition
from llm_studies.bloomwise import baselines, generated, prompts
from llm_studies.bloomwise.attempt import Case
from llm_studies.bloomwise.baselines import Trial, matched, trial
from llm_studies.bloomwise.data import Problem
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.rules import Rule
from llm_studies.bloomwise.solve import solve
from llm_studies.llm.ask import Ask
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Solver
from llm_studies.simulate.solver import SimulatedSolver

LEVELS = MappingProxyType(
    {"remembering": 0.50, "understanding": 0.55, "applying": 0.65, "analyzing": 0.60, "evaluating": 0.60}
)
"""Accuracies; their mean is what every other prompt has, so that levels are no better than paraphrases."""
BEST = max(LEVELS, key=LEVELS.__getitem__)
OTHERS = sum(LEVELS.values()) / len(LEVELS)
WORLDS = MappingProxyType({"independent errors": 0.0, "correlated errors (rho 0.5)": 0.5})
JUDGES = MappingProxyType({"good verdicts": 0.9, "fair verdicts": 0.7, "verdicts at chance": 0.5})
"""Sensitivity and specificity, which are the same here."""

CONVERGE, MATCHED, SINGLE, PARAPHRASES = "converge", "self-consistency, equal calls", f"only {BEST}", "paraphrases"
COT = "one chain of thought"


def self_eval(judge: str) -> str:
    return f"self_eval, {judge}"


class World(NamedTuple):
    """One seed's problems, and who solves them."""

    problems: tuple[Problem, ...]
    ask: Ask


Method = Callable[[Case], Awaitable[Trial]]


def world(rho: float, seed: int, items: int, quality: float = 0.9) -> World:
    problems = generated.problems(items, seed=seed)
    solver = Solver(
        seed=seed, levels=dict(LEVELS), default=OTHERS, rho=rho, pool=5, sensitivity=quality, specificity=quality
    )
    return World(problems, SimulatedAsk(SimulatedSolver(solver, {one.question: one.gold for one in problems})))


def conditions(rho: float, items: int) -> Mapping[str, Condition]:
    """By name; each measures accuracy and calls under a seed."""

    def on(method: Method, quality: float = 0.9) -> Condition:
        return lambda seed: measure(world(rho, seed, items, quality), method)

    def climbing(ladder: Ladder) -> Method:
        async def climb(case: Case) -> Trial:
            return trial((await solve(case, ladder)).levels, ladder.rule)

        return climb

    async def paraphrased(case: Case) -> Trial:
        return await baselines.paraphrases(case, len(LEVELS), Rule())

    async def thought(case: Case) -> Trial:
        attempt = await baselines.cot(case, ())
        return Trial(attempt.strict, attempt.answer, (attempt,))

    judged = climbing(Ladder(rule=Rule(kind="self_eval")))
    return {
        COT: on(thought),
        SINGLE: on(climbing(Ladder(levels=(BEST,), rule=Rule(kind="all")))),
        CONVERGE: on(climbing(Ladder())),
        MATCHED: lambda seed: sampled(world(rho, seed, items)),
        PARAPHRASES: on(paraphrased),
        **{self_eval(judge): on(judged, quality) for judge, quality in JUDGES.items()},
    }


def measure(where: World, method: Method) -> dict[str, float]:
    """Accuracy and mean calls of one method."""

    async def every() -> list[Trial]:
        return [await method(_case(where, one)) for one in where.problems]

    return _figures(where.problems, asyncio.run(every()))


def sampled(where: World) -> dict[str, float]:
    """Self-consistency with as many calls as converge makes on the same problems."""

    async def every() -> list[Trial]:
        climbed = [await solve(_case(where, one), Ladder()) for one in where.problems]
        calls = sum(solution.outcome.asked for solution in climbed)
        samples = matched([one.id for one in where.problems], calls)
        return [await baselines.self_consistency(_case(where, one), samples[one.id], 0.7) for one in where.problems]

    return _figures(where.problems, asyncio.run(every()))


def _case(where: World, one: Problem) -> Case:
    return Case(where.ask, one.question, one.options, prompts.load())


def _figures(problems: Sequence[Problem], trials: Sequence[Trial]) -> dict[str, float]:
    right = [same(done.answer, one.gold) for done, one in zip(trials, problems, strict=True)]
    return {"accuracy": sum(right) / len(right), "calls": sum(done.calls for done in trials) / len(trials)}

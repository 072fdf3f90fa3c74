"""The simulated solver (bloomwise.md 9.1): known accuracy, correlation of errors, wrong answers and verdicts.

Its luck is a function of (seed, problem, level or method, mode); at temperature above 0 also of the draw. So closed
forms exist for every control rule.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from math import sqrt
from typing import NamedTuple

from llm_studies.simulate.config import Solver
from llm_studies.simulate.icl_prompt import one_line
from llm_studies.simulate.mind import Prompt, babble, digest, uniform

PROBLEM = re.compile(r"<problem>(.*?)</problem>", re.DOTALL)
SOLUTION = re.compile(r"<solution>(.*?)</solution>", re.DOTALL)
LEVEL = re.compile(r"^Way of thinking: *(.+?) *$", re.MULTILINE)
OPTION = re.compile(r"^([A-Z])\) ?(.*)$", re.MULTILINE)
FINAL = re.compile(r"(?:ANSWER:|answer is|answer =) *([^\s,.]+(?:[.,]\d+)*)", re.IGNORECASE)
UNSURE = "What is given does not seem to settle this, and no value can be stated."


class Task(NamedTuple):
    """What a prompt asks."""

    problem: str
    """On one line."""
    gold: str
    """A number as text, or the letter of an option."""
    options: tuple[str, ...]
    """The letters."""
    method: str
    """The level, or a digest of everything in the prompt but the problem."""
    accuracy: float
    programme: bool


class SimulatedSolver:
    """The mind of a configuration, over a table of problems by question. Unknown problems get a gold of their own."""

    def __init__(self, config: Solver, problems: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._problems = problems or {}

    def __call__(self, prompt: Prompt) -> str:
        asked = prompt.question
        found = PROBLEM.findall(asked)
        if not found:
            return babble(prompt)
        task = self._read(asked, found[-1])
        solution = SOLUTION.findall(asked)
        if solution and "VERDICT:" in asked:
            return self._verdict(task, solution[-1], prompt.draw)
        # A solution without a critique is to be summed up, not made anew.
        stated = FINAL.findall(solution[-1]) if solution and "<critique>" not in asked else []
        value = _bare(stated[-1]) if stated else self.answer(task, prompt.draw)
        return _programme(value) if task.programme else _text(task, value, "ANSWER:" in asked + _system(prompt))

    def answer(self, task: Task, draw: str = "") -> str | None:
        """The value that this attempt ends with: the gold, one of the wrong answers, or none."""
        luck = digest(self._config.seed, task.problem, task.method, task.programme, draw)
        if uniform("none", luck) < self._config.none:
            return None
        # Attempts that share their luck with probability rho, pair by pair: each takes the common one with sqrt(rho).
        shared = uniform("shares", luck) < sqrt(self._config.rho)
        source = digest(self._config.seed, task.problem) if shared else luck
        if uniform("right", source) < task.accuracy:
            return task.gold
        return _wrong(task, self._config.pool, uniform("wrong", source))

    def _read(self, asked: str, block: str) -> Task:
        options = {letter: one_line(value) for letter, value in OPTION.findall(block)}
        problem = one_line(OPTION.sub("", block))
        gold = self._problems.get(problem) or self._made_up(problem, tuple(options))
        letter = next((letter for letter, value in options.items() if value == gold), gold)
        level = LEVEL.findall(asked)
        method = level[-1] if level else digest(asked.replace(block, ""))
        accuracy, programme = self._accuracy(asked, level[-1:]), "Python block" in asked
        return Task(problem, letter, tuple(options), method, accuracy, programme)

    def _made_up(self, problem: str, options: tuple[str, ...]) -> str:
        """The gold of an unknown problem."""
        luck = uniform(self._config.seed, "gold", problem)
        return options[int(luck * len(options))] if options else str(int(luck * 1000))

    def _accuracy(self, asked: str, level: list[str]) -> float:
        if level:
            return self._config.levels.get(level[0], self._config.default)
        return next((p for cue, p in self._config.cues.items() if cue in asked), self._config.default)

    def _verdict(self, task: Task, solution: str, draw: str) -> str:
        found = FINAL.findall(solution)
        right = bool(found) and _same(_bare(found[-1]), task.gold)
        luck = uniform(self._config.seed, "verdict", task.problem, digest(solution), draw)
        accept = luck < (self._config.sensitivity if right else 1 - self._config.specificity)
        seen = "The steps lead to the stated result." if accept else "One of the steps does not hold."
        return f"{seen}\nVERDICT: {'ACCEPT' if accept else 'CONTINUE'}"


def _bare(value: str) -> str:
    return value.strip("\"'()")


def _system(prompt: Prompt) -> str:
    return "".join(turn.content for turn in prompt.messages if turn.role == "system")


def _wrong(task: Task, pool: int, luck: float) -> str:
    """One of ``pool`` wrong answers: another letter, or the gold moved by 1, 2, ..."""
    others = [letter for letter in task.options if letter != task.gold][:pool]
    if others:
        return others[int(luck * len(others))]
    number = _number(task.gold)
    return str((number if number is not None else Decimal(0)) + 1 + int(luck * pool))


def _same(value: str, gold: str) -> bool:
    numbers = _number(value), _number(gold)
    return numbers[0] == numbers[1] if None not in numbers else value == gold


def _number(text: str) -> Decimal | None:
    """The number in ``text``; None when it is none."""
    try:
        return Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None


def _text(task: Task, value: str | None, lined: bool) -> str:
    if value is None:
        return UNSURE
    way = f"By {task.method} " if not re.search(r"\d", task.method) else "Step by step "
    return f"{way}the quantities in the problem are put together.\n{'ANSWER: ' if lined else 'The answer is '}{value}"


def _programme(value: str | None) -> str:
    if value is None:
        body = "missing = []\nanswer = missing[0]"
    else:
        body = f"answer = {value.replace(',', '') if _number(value) is not None or '/' in value else repr(value)}"
    return f"The steps of the solution as a programme:\n```python\n{body}\n```"

"""What a report is made of: every attempt on every problem."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from llm_studies.bloomwise.attempt import Attempt
from llm_studies.bloomwise.baselines import Trial
from llm_studies.bloomwise.data import Problem
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.repeats import Repeat


class Measured(NamedTuple):
    """Everything that one set's replies say."""

    problems: tuple[Problem, ...]
    demos: tuple[Problem, ...]
    ladders: dict[str, list[list[Attempt]]]
    """By ladder, problem and level; without the texts, which would fill the memory."""
    trials: dict[str, list[Trial]]
    """By method and problem; ladders under their own rule come first."""
    repeats: tuple[Repeat, ...] = ()
    """Of the first problems."""


def right(trials: Sequence[Trial], measured: Measured, *, strict: bool = False) -> np.ndarray:
    """Solved or not, bool (items,)."""
    pairs = zip(trials, measured.problems, strict=True)
    return np.array([same(one.strict if strict else one.answer, problem.gold) for one, problem in pairs], bool)

"""What a report is made of: every attempt on every problem, and an account of the replies behind them."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from contracts.llm import ChatRequest, Reply, Usage
from llm_studies.bloomwise.attempt import Attempt
from llm_studies.bloomwise.baselines import Trial
from llm_studies.bloomwise.data import Problem
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.repeats import Repeat
from llm_studies.llm.ask import Ask


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


class Account:
    """Passes calls on, and counts each different one once."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._seen: set[bytes] = set()
        self.usage = Usage(prompt_tokens=0, completion_tokens=0)
        self.models: set[str] = set()

    @property
    def calls(self) -> int:
        return len(self._seen)

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        reply = await self._ask(request, repeat)
        key = hashlib.blake2b(msgspec.json.encode((request, repeat)), digest_size=16).digest()
        if key not in self._seen:
            self._seen.add(key)
            self.usage = Usage(
                prompt_tokens=self.usage.prompt_tokens + reply.usage.prompt_tokens,
                completion_tokens=self.usage.completion_tokens + reply.usage.completion_tokens,
            )
            self.models.add(reply.model)
        return reply

"""What the tests of BloomWise share: the data folder where there is one, and a solver that answers in this process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.llm import ChatRequest, Reply, Usage
from llm_studies.bloomwise import prompts
from llm_studies.bloomwise.attempt import Case, Run
from llm_studies.bloomwise.data import FOLDER


@pytest.fixture
def data() -> Path:
    """The folder with the public sets."""
    named = os.environ.get("KITHARA_DATA")
    if not named or not (Path(named) / FOLDER).is_dir():
        pytest.skip(f"set KITHARA_DATA to a folder with {FOLDER}")
    return Path(named)


class Scripted:
    """An ``Ask`` that says its lines in turn and keeps what it was asked."""

    def __init__(self, *lines: str | Reply) -> None:
        self._lines = list(lines)
        self.asked: list[tuple[ChatRequest, int]] = []

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        self.asked.append((request, repeat))
        line = self._lines.pop(0) if len(self._lines) > 1 else self._lines[0]
        usage = Usage(prompt_tokens=10, completion_tokens=3)
        return line if isinstance(line, Reply) else Reply(text=line, finish="stop", usage=usage)


@pytest.fixture
def case() -> Callable[..., Case]:
    def make(
        ask: Scripted, question: str = "What is two and two?", options: dict | None = None, run: Run | None = None
    ):
        return Case(ask, question, options, prompts.load(), run=run)

    return make


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted

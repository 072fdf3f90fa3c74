"""Prompts as the studies write them, and the simulated server without a socket."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest

from contracts.llm import Message
from llm_studies.simulate.mind import Prompt

LABELS = ("joy", "fear", "anger", "sadness")


@pytest.fixture
def icl() -> Callable[..., str]:
    return _icl


@pytest.fixture
def problem() -> Callable[..., str]:
    return _problem


@pytest.fixture
def ask() -> Callable[..., Prompt]:
    return _ask


def _icl(
    demos: Sequence[tuple[str, Sequence[str]]], query: str, labels: Sequence[str] = LABELS, *, cot: bool = False
) -> str:
    """One user message in the fixed format."""
    names = f"{', '.join(labels[:-1])} and {labels[-1]}"
    instruction = f"Decide which emotions each input has, none, one or several of them: {names}. Say their names only."
    why = "Reasoning: because of its words.\n" if cot else ""
    shown = [f"Input: {text}\n{why}Emotion(s): {', '.join(given) or 'none'}" for text, given in demos]
    return "\n\n".join([instruction, *shown, f"Input: {query}\n{'Reasoning' if cot else 'Emotion(s)'}:"])


def _problem(text: str, level: str = "", *, programme: bool = False, more: str = "") -> str:
    """One user message of a level, or without one."""
    way = f"Way of thinking: {level}\n" if level else ""
    form = "Write one Python block that assigns answer." if programme else "End with the line ANSWER: <value>"
    return f"{way}{form}\n{more}\n<problem>\n{text}\n</problem>"


def _ask(content: str, draw: str = "") -> Prompt:
    """A conversation of one user message."""
    return Prompt((Message(role="user", content=content),), draw)


@pytest.fixture
async def client() -> AsyncIterator[Callable[[Any], httpx.AsyncClient]]:
    """``client(app)``: an HTTP client of an ASGI application in this process."""
    opened: list[httpx.AsyncClient] = []

    def open_client(app: Any) -> httpx.AsyncClient:
        opened.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://simulated"))
        return opened[-1]

    yield open_client
    for one in opened:
        await one.aclose()

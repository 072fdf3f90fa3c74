"""What stands behind the simulated server: a pure function from a conversation and a draw to a text."""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from contracts.llm import Message

TOKEN = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+$")
"""The token rule: at most eight word characters, or one other character, with the white space before it."""


class Prompt(NamedTuple):
    """A conversation, and which of the possible answers is drawn."""

    messages: tuple[Message, ...]
    draw: str = ""
    """Empty: the greedy answer (temperature 0). Other draws give other answers."""

    @property
    def question(self) -> str:
        """The last user message."""
        return next((turn.content for turn in reversed(self.messages) if turn.role == "user"), "")


class Mind(Protocol):
    """Deterministic: the same prompt and draw give the same text."""

    def __call__(self, prompt: Prompt) -> str: ...


class Said(NamedTuple):
    """A text as it leaves the server."""

    text: str
    finish: Literal["stop", "length", "content_filter"]


def digest(*parts: object) -> str:
    """Sixteen hex digits that stand for ``parts``."""
    return hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).hexdigest()


def uniform(*parts: object) -> float:
    """A number in [0, 1) that is a function of ``parts``, and looks independent for other parts."""
    key = "\x1f".join(map(str, parts)).encode()
    return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> 11) / 2**53


def draw(temperature: float, seed: object, choice: int = 0) -> str:
    """The draw of one choice. Temperature 0 has one answer; at every other one the seed decides alone."""
    return "" if temperature == 0 else f"{seed}/{choice}"


def tokens(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return TOKEN.findall(text)


def prompt_tokens(messages: Sequence[Message]) -> int:
    """What the prompt is billed: its tokens, and four for each message's frame."""
    return sum(4 + len(tokens(turn.content)) for turn in messages)


def end(text: str, stop: Sequence[str], max_tokens: int | None, *, keep_stop: bool = False) -> Said:
    """Generation as OpenAI ends it: before the first stop text, or, ``length``, after ``max_tokens``."""
    found = [(text.find(word), word) for word in stop if word in text]
    if found:
        at, word = min(found)
        text = text[: at + len(word)] if keep_stop else text[:at]
    pieces = tokens(text)
    if max_tokens is not None and len(pieces) > max_tokens:
        return Said("".join(pieces[:max_tokens]), "length")
    return Said(text, "stop")


WORDS = ("amber", "birch", "copper", "delta", "ember", "fjord", "garnet", "harbour", "indigo", "juniper", "kestrel")


def babble(prompt: Prompt) -> str:
    """The answer to a prompt that the mind does not know: thirty counted words, others for every draw."""
    about = digest(*(turn.content for turn in prompt.messages), prompt.draw)
    return ", ".join(f"{n} {WORDS[int(uniform(about, n) * len(WORDS))]}" for n in range(1, 31))

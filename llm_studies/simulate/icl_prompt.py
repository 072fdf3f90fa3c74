"""Reading an in-context-learning prompt: instruction, demonstrations, query (format of icl_priors.md 2.1)."""

import re
from functools import lru_cache
from typing import NamedTuple

INPUT = re.compile(r"^Input: ?", re.MULTILINE)
LISTED = re.compile(r"[\w-]+(?:, [\w-]+)*,? and [\w-]+")
"""Names in a sentence: ``joy, fear and anger``."""
QUOTES = re.compile("['\"`*]")


class Demo(NamedTuple):
    """One demonstration."""

    text: str
    labels: frozenset[str]


class Task(NamedTuple):
    """What a prompt asks."""

    labels: tuple[str, ...]
    """In the order in which they are named."""
    demos: tuple[Demo, ...]
    query: str
    header: str
    """The word before the labels, e.g. ``Emotion(s)``."""
    reasons: bool
    """The reply starts with reasoning (CoT)."""


@lru_cache(maxsize=4096)
def read(prompt: str, labels: tuple[str, ...] = ()) -> Task | None:
    """The task in a user message; None when it is no such prompt. ``labels`` replaces the names that it lists."""
    instruction, *blocks = INPUT.split(prompt)
    if not blocks:
        return None
    *shown, asked = (block.rstrip().split("\n") for block in blocks)
    last = asked[-1].removesuffix(":")
    reasons = last == "Reasoning"
    header = _header(instruction, shown) if reasons else last
    demos = tuple(_demo(lines, header) for lines in shown)
    names = labels or _listed(instruction)
    extra = sorted({name for demo in demos for name in demo.labels} - set(names))
    return Task((*names, *extra), demos, one_line(asked[0]), header, reasons)


def _header(instruction: str, shown: list[list[str]]) -> str:
    """Of a prompt that ends before it: the demonstrations', or the one that the instruction quotes."""
    quoted = re.findall(r'"([^"\n]+):"', instruction)
    return shown[0][-1].partition(":")[0] if shown else quoted[-1] if quoted else "Emotion(s)"


def one_line(text: str) -> str:
    """The text as a prompt shows it."""
    return " ".join(text.split())


def _demo(lines: list[str], header: str) -> Demo:
    answer = next((line for line in reversed(lines) if line.startswith(f"{header}:")), "")
    items = (item.strip() for item in answer.partition(":")[2].split(","))
    return Demo(one_line(lines[0]), frozenset(item for item in items if item and item != "none"))


def _listed(instruction: str) -> tuple[str, ...]:
    """The longest enumeration of single words in the instruction; one after a colon goes before all others."""
    line = QUOTES.sub("", " ".join(instruction.split()))
    lists = [(line[: at.start()].endswith(": "), re.split(r",? and |, ", at.group())) for at in LISTED.finditer(line)]
    _, names = max(lists, key=lambda found: (found[0], len(found[1])), default=(False, []))
    return tuple(dict.fromkeys(names))

"""The text of a prompt: one user message that ends where the answer begins (specification, section 2.1).

A user's text is data: it stands on one line, so nothing in it can begin an ``Input:`` or label line of its own.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from contracts.llm import ChatRequest, Message
from llm_studies.icl_priors.demos import Demo
from llm_studies.icl_priors.items import Vector, one_line

FILE = "prompts.toml"
INPUT, REASONING = "Input:", "Reasoning:"
NONE = "none"


class Wording(NamedTuple):
    """The prompt file."""

    version: int
    classify: str
    reason: str
    digest: str


class Form(NamedTuple):
    """What a data set puts into the templates."""

    labels: tuple[str, ...]
    header: str
    task: str


@cache
def wording() -> Wording:
    raw = files(__name__.rpartition(".")[0]).joinpath(FILE).read_bytes()
    return Wording(**tomllib.loads(raw.decode()), digest=hashlib.sha256(raw).hexdigest())


def request(form: Form, demos: Sequence[Demo], text: str, *, reasons: bool, max_tokens: int) -> ChatRequest:
    """The call: greedy, no system message, ended before a further ``Input:`` that the model makes up."""
    return ChatRequest(
        messages=(Message(role="user", content=prompt(form, demos, text, reasons=reasons)),),
        temperature=0.0,
        max_tokens=max_tokens,
        stop=(f"\n{INPUT}",),
        template=wording().digest,
    )


def prompt(form: Form, demos: Sequence[Demo], text: str, *, reasons: bool) -> str:
    """Instruction, demonstrations, query; ``reasons`` asks for a chain of thought before the labels."""
    template = wording().reason if reasons else wording().classify
    instruction = template.format(task=form.task, labels=listed(form.labels), header=form.header)
    shown = [_block(demo.text, _answer(form, demo, reasons)) for demo in demos]
    asked = _block(text, REASONING if reasons else f"{form.header}:")
    return "\n\n".join([instruction, *shown, asked])


def label_text(labels: Vector, names: Sequence[str]) -> str:
    """In label-set order; the empty set is ``none``."""
    return ", ".join(name for name, on in zip(names, labels, strict=True) if on) or NONE


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _block(text: str, answer: str) -> str:
    return f"{INPUT} {one_line(text)}\n{answer}"


def _answer(form: Form, demo: Demo, reasons: bool) -> str:
    line = f"{form.header}: {label_text(demo.labels, form.labels)}"
    return f"{REASONING} {one_line(demo.rationale)}\n{line}" if reasons else line

"""Solving a problem over HTTP, level by level.

What a caller writes here reaches a language model as data between delimiters, in a user's turn; no part of it becomes
an instruction.
"""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Record
from contracts.llm import NonNegative, Usage

Level = Literal["remembering", "understanding", "applying", "analyzing", "evaluating", "creating"]
"""Of Bloom's taxonomy, from simple to advanced."""
ANY_TEXT = r"[^\s\x00-\x1f]"
"""Something besides white space and control characters."""
Text = Annotated[str, Meta(max_length=8_000, pattern=ANY_TEXT)]


def each_once(**fields: tuple[str, ...] | str | None) -> None:
    """Raises ValueError for a tuple that holds a value twice."""
    for name, values in fields.items():
        if isinstance(values, tuple) and len(set(values)) < len(values):
            raise ValueError(f"{name} holds one value twice")


class Budget(Record, frozen=True, kw_only=True):
    """What one answer may spend. No call is begun once it is spent; the levels so far give the answer."""

    calls: Annotated[int, Meta(ge=1, le=64)] = 32
    tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 100_000
    """Prompt and completion, as the server counts them; a call that began below may end above."""


class SolveRequest(Record, frozen=True, kw_only=True):
    """The body of ``POST /v1/llm/solve``."""

    problem: Annotated[Text, Meta(examples=["A box holds 12 pencils. How many pencils do 7 boxes hold?"])]
    options: (
        Annotated[tuple[Annotated[str, Meta(max_length=500, pattern=ANY_TEXT)], ...], Meta(min_length=2, max_length=5)]
        | None
    ) = None
    """Choices A to E, in order; then the answer is a letter."""
    ladder: (
        Literal["v2", "v1"]
        | Annotated[tuple[Level, ...], Meta(min_length=1, max_length=6, extra_json_schema={"uniqueItems": True})]
    ) = "v2"
    """A preset (``v2``: five levels, ``v1``: the first four) or the levels themselves, each once, in the order
    in which they are asked."""
    rule: Literal["converge", "self_eval", "majority", "all"] = "converge"
    """``converge``: stop when consecutive levels agree, and take the earliest of them. ``self_eval``: stop when the
    model accepts its own answer. ``majority`` and ``all`` ask every level, and take the plurality or the last."""
    agree: Annotated[int, Meta(ge=2, le=6)] = 2
    """Rule ``converge``: so many consecutive levels with one answer end the ladder."""
    fallback: Literal["last", "majority"] = "last"
    """Whose answer counts when ``converge`` or ``self_eval`` has not ended the ladder."""
    mode: Literal["text", "programme", "mixed"] = "text"
    """``programme`` and ``mixed`` run what the model writes, in a sandbox that the service must have."""
    context: Literal["independent", "cumulative"] = "independent"
    """Whether a level sees the replies of those before."""
    budget: Budget = Budget()
    stream: bool = False
    """Send each level as a server-sent event when it ends."""

    def __post_init__(self) -> None:
        each_once(ladder=self.ladder)


class LevelAnswer(Record, frozen=True, kw_only=True):
    """One level; the data of event ``level``."""

    name: str
    reply: str
    answer: str | None
    """Found anywhere in the reply by the flexible rules; none: there is no answer in it."""
    strict: str | None
    """Found in the last line, in the form that was asked for; of a programme, the value that it computed."""
    verdict: Literal["accept", "continue"] | None = None
    """The model's own, under rule ``self_eval``."""
    finish: Literal["stop", "length", "content_filter", "other"]
    """Why the reply ended; ``length``: it was cut off."""
    failure: str | None = None
    """Why a programme gave no answer."""
    usage: Usage
    """Of every call that this level took."""


class SolveResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/llm/solve``, and the data of event ``solution``."""

    answer: str | None
    """A number or a letter; none: no level gave one."""
    explanation: str
    """The reply of the level whose answer it is."""
    levels: tuple[LevelAnswer, ...]
    """In the order in which they were asked."""
    converged: bool
    """The rule ended the ladder: levels agreed, or the model accepted its answer."""
    stopped_at: str
    """Name of the last level that was asked."""
    stopped_by: Literal["rule", "ladder", "budget"]
    usage: Usage
    cost: NonNegative | None = None
    """At the operator's price file; none: there is none."""
    currency: str = ""
    model: str
    """As the server names it."""
    request_id: str

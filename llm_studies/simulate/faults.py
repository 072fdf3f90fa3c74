"""Which request meets which fault, and what becomes of its answer.

The draw is a function of the plan and the request, so that a run with faults can be repeated.
"""

from collections import Counter
from typing import Any, Literal

from llm_studies.simulate import wire
from llm_studies.simulate.asgi import Answer
from llm_studies.simulate.config import Fault, Faults
from llm_studies.simulate.mind import uniform


class FaultPlan:
    """Draws faults, and counts those that it drew."""

    def __init__(self, config: Faults) -> None:
        self.config = config
        self.drawn: Counter[Fault] = Counter()
        self._attempts: Counter[str] = Counter()

    def draw(self, key: str, call: int) -> Fault | None:
        """The fault of this request. ``key`` tells requests apart, ``call`` is the number of the call."""
        attempt = self._attempts[key]
        self._attempts[key] += 1
        if self.config.attempts is not None and attempt >= self.config.attempts:
            return None
        what = (call,) if self.config.by == "call" else (key, attempt)
        left = uniform("fault", self.config.seed, *what)
        for fault, share in self.config.shares.items():
            if (left := left - share) < 0:
                self.drawn[fault] += 1
                return fault
        return None


def refusal(fault: Fault | None, wait: float) -> Answer | None:
    """The faults that are an error status; nothing was made, nothing is billed."""
    match fault:
        case "rate_limit":
            told = ((b"retry-after", f"{wait:g}".encode()),)
            return Answer(429, wire.error("Rate limit reached.", "requests", "rate_limit_exceeded"), told)
        case "rate_limit_bare":
            return Answer(429, wire.error("Rate limit reached.", "requests", "rate_limit_exceeded"))
        case "server_error":
            return Answer(500, wire.error("The server had an error.", "server_error"))
        case "unavailable":
            return Answer(503, wire.error("The server is overloaded.", "server_error"))
        case _:
            return None


def spoilt(fault: Fault | None, whole: dict[str, Any]) -> dict[str, Any]:
    """The answer with the fault in it; the answer that is kept for its key stays as it is."""
    first = whole["choices"][0]
    text = first["message"]["content"]
    match fault:
        case "empty":
            return whole | {"choices": []}
        case "duplicated":
            return whole | {"choices": [first, first | {"index": 1}]}
        case "length":
            return whole | {"choices": [_choice(first, text[: len(text) // 2], "length")]}
        case "content_filter":
            return whole | {"choices": [_choice(first, "", "content_filter")]}
        case "wrong_usage":
            return whole | {"usage": {name: 10 * count for name, count in whole.get("usage", {}).items()}}
        case "no_usage":
            return {name: value for name, value in whole.items() if name != "usage"}
        case _:
            return whole


def _choice(choice: dict[str, Any], text: str, finish: Literal["length", "content_filter"]) -> dict[str, Any]:
    return choice | {"message": choice["message"] | {"content": text}, "finish_reason": finish}


def delivered(fault: Fault | None, answer: Answer) -> Answer:
    """The answer as it arrives: whole, as half a document, or as half of the bytes that its head promised.

    It was made, and paid for, in any case.
    """
    half = len(answer.body) // 2
    match fault:
        case "truncated":
            return answer._replace(body=answer.body[:half])
        case "dropped":
            return answer._replace(sent=half)
        case _:
            return answer

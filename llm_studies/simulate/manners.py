"""How the respondent words its labels: plainly, or in one of the ways that parsers must survive (icl_priors.md 3)."""

from collections.abc import Sequence
from types import MappingProxyType

import msgspec

from llm_studies.simulate.config import Format
from llm_studies.simulate.icl_prompt import Task
from llm_studies.simulate.mind import uniform

ALIASES = MappingProxyType(
    {
        "joy": "happy",
        "sadness": "sad",
        "anger": "angry",
        "fear": "afraid",
        "surprise": "surprised",
        "disgust": "disgusted",
        "optimism": "optimistic",
        "pessimism": "pessimistic",
        "admiration": "admiring",
        "hate": "hateful",
        "aggressive": "aggression",
    }
)
TALK = "Let me look at this text with care, word by word, before I say what it holds. " * 8
REFUSAL = "I'm sorry, but I can't help with that."


def say(task: Task, chosen: Sequence[str], form: Format, about: str) -> str:
    """The reply; ``about`` decides its form."""
    answer = _word(task, chosen, _form(form, about))
    if not task.reasons:
        return answer
    why = f"The author's words point to {_and(chosen) if chosen else 'nothing in particular'}."
    return f"{why}\n{task.header}: {answer}"


def _form(form: Format, about: str) -> str:
    """The name of the form; empty for plain."""
    left = uniform("form", about)
    for name in Format.__struct_fields__:
        if (left := left - getattr(form, name)) < 0:
            return name
    return ""


def _word(task: Task, chosen: Sequence[str], form: str) -> str:
    plain = ", ".join(chosen) or "none"
    document = msgspec.json.encode({"label": list(chosen)}).decode()
    other = task.labels[0] if task.labels else "none"
    return {
        "alias": ", ".join(ALIASES.get(label, label).capitalize() for label in chosen) or "None",
        "sentence": f"The text shows {_and(chosen)}." if chosen else "None of these are expressed in the text.",
        "extra_demos": f"{plain}\n\nInput: a text that nobody sent\n{task.header}: {other}",
        "json": document,
        "broken_json": document[:-2],
        "long": f"{TALK}\n{task.header}: {plain}",
        "refusal": REFUSAL,
    }.get(form, plain)


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))

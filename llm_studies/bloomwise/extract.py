"""Two extractors side by side: what stands where the prompt asked for it, and what a lenient reader finds (spec. 5).

An answer is canonical text: a number as ``numbers.show`` writes it, or an option's letter. None never equals None.
"""

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from string import ascii_uppercase
from typing import Literal, NamedTuple

from llm_studies.bloomwise import numbers

Options = Mapping[str, str]
"""Letter to text, in order."""

STRICT = re.compile(r"ANSWER: (\S.*)")
ANSWER = re.compile(r"\banswer\b[\"']? *[:=]\s*(.*)", re.IGNORECASE)
PHRASE = re.compile(r"(?:####|\banswer\b[^.:=\n]{0,40}?\bis\b)(?: *:)?\s*(.*)", re.IGNORECASE)
BRACE = re.compile(r"(?P<box>\\f?box(?:ed)? *\{)|[{}]")
EMPHASIS = re.compile(r"(?<!\d)\*+(?=\S)|(?<=\S)\*+(?!\d)|__+|`+")
LETTER = re.compile(r"\(?(?P<letter>[A-Za-z])(?P<close>[).:,])?(?P<rest>\s.*)?", re.DOTALL)
NAMED = re.compile(r"\b(?:option|choice)\s+\(?([A-Za-z])\b|\(([A-Za-z])\)|(?<![\w'])([A-Z])\)", re.IGNORECASE)


class Found(NamedTuple):
    """What a reply answers."""

    answer: str | None
    """Canonical; None: nothing can be extracted."""
    how: Literal["line", "boxed", "phrase", "last", "value", "none"] = "none"
    """The rule that found it; ``value``: it is what a programme computed."""
    mapped: bool = False
    """The reply gave the value of an option, not its letter."""


NOTHING = Found(None)


def options_of(texts: Sequence[str] | None) -> Options | None:
    """Letters A, B, ... for the texts of a caller's options."""
    return dict(zip(ascii_uppercase, texts, strict=False)) if texts else None


def same(one: str | None, other: str | None) -> bool:
    """Whether two answers agree: as numbers where both are, else letter by letter."""
    if one is None or other is None:
        return False
    a, b = numbers.bare(one), numbers.bare(other)
    return numbers.equal(a, b) if a is not None and b is not None else one == other


def strict(reply: str, options: Options | None = None) -> Found:
    """From the last line alone, which must be ``ANSWER: <value>`` with a bare number or one letter."""
    last = reply.rstrip().rpartition("\n")[2].strip()
    if not (line := STRICT.fullmatch(last)):
        return NOTHING
    if options:
        letter = line[1].strip().strip("().")
        return Found(letter, "line") if letter in options else NOTHING
    value = numbers.bare(line[1])
    return NOTHING if value is None else Found(numbers.show(value), "line")


def flexible(reply: str, problem: str = "", options: Options | None = None) -> Found:
    """From the last ``answer:``, else the last box, else the last "answer is", else the last number or option.

    ``problem`` is removed first from what the last rule reads, so that an echo is no answer.
    """
    text = EMPHASIS.sub("", reply)
    tries: tuple[tuple[Literal["line", "boxed", "phrase"], list[str]], ...] = (
        ("line", ANSWER.findall(text)),
        ("boxed", _boxes(text)),
        ("phrase", PHRASE.findall(text)),
    )
    for how, candidates in tries:
        found = _stated(candidates[-1], options) if candidates else NOTHING
        if found.answer is not None:
            return found._replace(how=how)
    return _last(without_echo(text, problem, options), options)


def value_of(result: object, options: Options | None = None) -> Found:
    """What a programme computed (a number of any type, or a text), as an answer."""
    if result is None:
        return NOTHING
    found = _stated(str(result), options) if options else _number(numbers.parse(str(result)))
    return found._replace(how="value") if found.answer is not None else NOTHING


def without_echo(reply: str, problem: str, options: Options | None = None) -> str:
    """The reply without the problem, if it repeats it, in whatever case and white space; its options go with it."""
    for echoed in (*(f"{problem} {_listed(options)}",) * bool(options), problem):
        words = echoed.split()
        if words and _squeezed(echoed) in _squeezed(reply):  # seldom; a pattern of its own for each problem is slow
            reply = re.sub(r"\s+".join(map(re.escape, words)), " ", reply, flags=re.IGNORECASE)
    return reply


def _listed(options: Options | None) -> str:
    return " ".join(f"{letter}) {text}" for letter, text in (options or {}).items())


def _boxes(text: str) -> list[str]:
    """The contents of every box whose braces are balanced, in the order in which they open."""
    opened: list[re.Match[str]] = []
    closed: list[tuple[int, str]] = []
    for brace in BRACE.finditer(text):
        if brace[0] != "}":
            opened.append(brace)
        elif opened and (start := opened.pop())["box"]:
            closed.append((start.start(), text[start.end() : brace.start()]))
    return [content for _, content in sorted(closed)]


def _stated(said: str, options: Options | None) -> Found:
    """The answer in a line or box that states one."""
    if options:
        return _option(said, options)
    value = numbers.parse(said)
    if value is None:  # "3 * 4 = 12 apples": the result
        value = next(numbers.scan(said.rpartition("=")[2]), None)
    return _number(value)


def _option(said: str, options: Options) -> Found:
    said = said.strip().strip("$").rstrip(".")
    if m := LETTER.fullmatch(said):
        letter = m["letter"].upper()
        if letter in options and (m["close"] or not m["rest"]):
            return Found(letter, "line")
    if named := _named(said, options):
        return Found(named[-1], "line")
    return _mapped(said, options)


def _named(text: str, options: Options) -> list[str]:
    """Letters of options that a text names: ``(b)``, ``B)``, ``option B``."""
    found = ("".join(groups).upper() for groups in NAMED.findall(text))
    return [letter for letter in found if letter in options]


def _mapped(said: str, options: Options) -> Found:
    """The one option whose text is what was said, else the one with its value."""
    wanted = _folded(said)
    hits = [letter for letter, text in options.items() if _folded(text) == wanted]
    return Found(hits[0], "line", mapped=True) if len(hits) == 1 else _valued(numbers.parse(said), options)


def _valued(value: Fraction | None, options: Options) -> Found:
    if value is None:
        return NOTHING
    values = {letter: numbers.parse(text) for letter, text in options.items()}
    hits = [letter for letter, other in values.items() if other is not None and numbers.equal(value, other)]
    return Found(hits[0], "line", mapped=True) if len(hits) == 1 else NOTHING


def _folded(text: str) -> str:
    return _squeezed(numbers.plain(text)).strip("$.")


def _squeezed(text: str) -> str:
    """Without case and white space."""
    return "".join(text.split()).casefold()


def _last(text: str, options: Options | None) -> Found:
    if options and (named := _named(text, options)):
        return Found(named[-1], "last")
    value = numbers.last(text)
    found = _valued(value, options) if options else _number(value)
    return found._replace(how="last") if found.answer else NOTHING


def _number(value: Fraction | None) -> Found:
    return NOTHING if value is None else Found(numbers.show(value), "line")

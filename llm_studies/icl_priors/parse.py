"""From a reply to a label set, with the way it was read (specification, section 3).

The official rule takes every label whose name is a *substring* of the reply: "enjoy" holds joy, "careful" holds care,
"no anger" holds anger, and a reply that says nothing usable becomes the empty set, which is an answer. Here, in order:
JSON; one line of names; "none", if alone; refusals; whole words outside a negation; invalid. ``legacy`` keeps the
official rule for comparison.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from llm_studies.icl_priors.negation import NEGATIONS, affirmed
from llm_studies.icl_priors.vocabulary import Vocabulary, vocabulary

Status = Literal["exact", "alias", "salvage", "invalid", "truncated", "refused"]
STATUSES: tuple[Status, ...] = ("exact", "alias", "salvage", "invalid", "truncated", "refused")
Path = Literal["json", "line", "none", "search", "nothing"]


class Parsed(NamedTuple):
    """What a reply says."""

    labels: tuple[str, ...]
    """In label-set order; empty for "none" and for a reply without an answer: ask ``answered`` which."""
    status: Status
    path: Path
    """The rule that read it."""

    @property
    def answered(self) -> bool:
        """False: an invalid, truncated or refused reply; the papers' figures score it as the empty set."""
        return self.status in ("exact", "alias", "salvage")


LONGEST = 2_000
"""Characters of an answer that are read; a label set is far shorter."""
NEXT = re.compile(r"\bInput\s*:")
"""Where a model goes on to invent demonstrations."""
SPLIT = re.compile(r"\s*(?:[,;|/\n]|&|(?<![\w-])and(?![\w-]))\s*", re.IGNORECASE)
BULLET = re.compile(r"^\s*(?:[-*•–+>]|\(?\d{1,2}[.)]|\[[ xX]\])\s+")
PREFIX = re.compile(r"^\W*+(\w[\w()]*+(?: [\w()]++){0,2})[^\w:]*+:\W*+(?=\w)")
"""A heading of one to three words. Possessive, because replies are anybody's text: it never backtracks."""
VERDICT = re.compile(r"^(.+?)\s*[:=–-]\s*(yes|no|true|false|1|0|present|absent)$", re.IGNORECASE)
YES = frozenset({"yes", "true", "1", "present"})
KEYS = frozenset(["label", "labels", "emotion", "emotions", "emotion(s)", "answer", "foundation", "foundations"])
"""Of a JSON object that holds more than the answer."""
EDGES = " \t\r\n*_`'\"“”‘’«».!()[]{}<>#~:"


def parse(
    text: str, names: Sequence[str], *, finish: str = "stop", header: str = "", reasoning: bool = False
) -> Parsed:
    """Read one reply to a prompt with these label ``names``; ``finish`` as the server gave it.

    ``header`` is the word before the labels (``Emotion(s)``). With ``reasoning`` the answer is what follows the last
    header line, and a reply without one has no answer. Raises Invalid for an unusable label set.
    """
    words = vocabulary(names)
    if finish == "content_filter":
        return Parsed((), "refused", "nothing")
    whole = unicodedata.normalize("NFKC", text)
    demos = NEXT.search(whole)
    answer = _answer(whole[: demos.start()] if demos else whole, header, reasoning)
    cut = finish == "length" and demos is None
    if not answer:
        return Parsed((), "truncated" if cut else "invalid", "nothing")
    return _json(answer, words, cut) or _line(answer, words, cut) or _prose(answer, words, cut)


def legacy(text: str, names: Sequence[str], *, header: str = "", reasoning: bool = False) -> tuple[str, ...]:
    """The official rule: cut at the next ``Input:`` (and before the header), then every name that is a substring."""
    reply = text.split("Input:")[0]
    if reasoning and header:
        reply = reply.rsplit(f"{header}:", 1)[-1]
    return tuple(name for name in names if name.lower() in reply.lower())


def _answer(reply: str, header: str, reasoning: bool) -> str:
    """The part of the reply that holds the labels, without header and code fences; empty when there is none."""
    if header:
        line = re.compile(rf"^[^\w\n]*{re.escape(header)}[*_\s]*:[*_]*", re.IGNORECASE | re.MULTILINE)
        found = list(line.finditer(reply))
        if reasoning:
            reply = reply[found[-1].end() :] if found else ""
        elif found:
            before = reply[: found[0].start()]
            # A repeated header opens the answer, or, after an answer, goes on beyond it.
            reply = before if before.strip() else line.split(reply)[1]
    elif reasoning:
        reply = ""
    reply = re.sub(r"^```\w*[ \t]*$|```", "", reply.strip()[:LONGEST], flags=re.MULTILINE)
    return re.sub(r"[^\S\n]+", " ", reply).strip()


def _json(answer: str, words: Vocabulary, cut: bool) -> Parsed | None:
    start = re.search(r"\{|\[(?=\s*[\"'\]])", answer)
    if start is None:
        return None
    body, decoder = answer[start.start() :], json.JSONDecoder()
    for ending in ("", "]", "}", "]}", '"]}'):
        for quoted in (body, body.replace("'", '"')):
            try:
                value, _ = decoder.raw_decode(quoted + ending)
            except (ValueError, RecursionError):
                continue
            if not ending:
                return _from_items(_values(value, words), words, "json")
            # Closed by us. Where the server stopped it, more labels may have been to come.
            half = cut or ending.startswith('"')
            found = None if half else _from_items(_values(value, words), words, "json")
            return Parsed((), "truncated", "json") if found is None else found._replace(status="salvage")
    return Parsed((), "truncated", "json") if cut or "}" not in body else None


def _values(value: object, words: Vocabulary) -> list[str]:
    """The items that a JSON value lists: ["joy"], {"label": ["joy"]}, {"joy": true, "fear": false}."""
    if isinstance(value, dict):
        if any(_known(str(key), words) is not None for key in value):
            return [str(key) for key, on in value.items() if on is True or on == 1 or str(on).lower() in YES]
        parts = [part for key, part in value.items() if key.lower() in KEYS] or list(value.values())
        return [item for part in parts for item in _values(part, words)]
    if isinstance(value, list):
        return [item for part in value for item in _values(part, words)]
    return [] if value is None or value == "" else [item for item in _split(str(value), words) if item]


def _line(answer: str, words: Vocabulary, cut: bool) -> Parsed | None:
    """All of the first paragraph, or else its first line, is a list of names."""
    block = re.split(r"\n\s*\n", answer)[0]
    first = answer.split("\n")[0]
    for lines, whole in ((block, block == answer), (first, first == answer)):
        items = [_bare(item) for line in lines.split("\n") for item in _split(_unprefixed(line, words), words)]
        items = [item for item in items if item]
        if not items:
            continue
        judged = [VERDICT.match(item) for item in items]
        if items and all(m is not None and _known(_bare(m[1]), words) is not None for m in judged):
            items = [_bare(m[1]) for m in judged if m is not None and m[2].lower() in YES]
        if all(_known(item, words) is not None for item in items):
            return _from_items(items, words, "line")
        done = [_known(item, words) is not None for item in items]
        if cut and whole and len(items) > 1 and all(done[:-1]):
            return Parsed((), "truncated", "line")
    return None


def _prose(answer: str, words: Vocabulary, cut: bool) -> Parsed:
    plain = answer.replace("’", "'").lstrip(EDGES).lower()
    if plain.startswith(words.refusals):
        return Parsed((), "refused", "nothing")
    found = affirmed(answer, words)
    if found:
        return Parsed(_ordered(found, words), "salvage", "search")
    return Parsed((), "truncated" if cut else "invalid", "nothing")


def _from_items(items: Sequence[str], words: Vocabulary, path: Path) -> Parsed:
    """Names, aliases and "none" of a list; what is outside the set makes it a salvage, and nothing else invalid."""
    known = [_known(_bare(item), words) for item in items]
    labels = {i for i in known if i is not None and i >= 0}
    if NONE in known and labels:
        return Parsed((), "invalid", path)  # "none, joy" says two things
    if known and all(i is None for i in known):
        return Parsed((), "invalid", path)
    if None in known:
        return Parsed(_ordered(labels, words), "salvage" if labels else "invalid", path)
    plain = all(_bare(item) in words.exact or _bare(item) in words.none for item in items)
    return Parsed(_ordered(labels, words), "exact" if plain else "alias", path if labels else "none")


NONE = -1
"""Place of "no label" in what ``_known`` returns."""


def _known(item: str, words: Vocabulary) -> int | None:
    item = item.lower()
    if item in words.exact or item in words.alias:
        return words.exact.get(item, words.alias.get(item))
    return NONE if item in words.none or item in words.none_alias else None


def _bare(item: str) -> str:
    return " ".join(BULLET.sub("", item).strip(EDGES).lower().split())


def _split(line: str, words: Vocabulary) -> list[str]:
    """Its items; one that is known as it stands ("n/a") is not split."""
    return [line] if _known(_bare(line), words) is not None else SPLIT.split(line)


def _unprefixed(line: str, words: Vocabulary) -> str:
    """Without a bullet and a heading ("Answer: joy"); one that names or denies ("joy: yes", "not: joy") is none."""
    line = BULLET.sub("", line)
    found = PREFIX.match(line)
    if found is None or words.words.search(found[1]) or NEGATIONS & set(found[1].lower().split()):
        return line
    return line[found.end() :]


def _ordered(places: Iterable[int], words: Vocabulary) -> tuple[str, ...]:
    return tuple(words.names[i] for i in sorted(places))

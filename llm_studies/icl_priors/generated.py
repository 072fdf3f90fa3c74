"""Texts made from our own lexicon, labelled by simulated annotators: everything runs on them without any data.

``lexicon.toml`` also is what the simulated respondent reads texts with. The same settings give the same texts on every
machine and under every version (``draws``).
"""

import hashlib
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple

from llm_studies.icl_priors.draws import below, number, pick, share, shuffled
from llm_studies.icl_priors.items import Corpus, Item, Vector, one_line, text_digest, with_aggregate

LEXICON = "lexicon.toml"
EMPTY, DOUBLE = 0.25, 0.25
"""Shares of texts without a label and with two."""


class Sizes(NamedTuple):
    train: int
    dev: int
    test: int


@cache
def lexicon() -> Mapping[str, Any]:
    return MappingProxyType(tomllib.loads(_bytes().decode()))


def _bytes() -> bytes:
    return files(__name__.rpartition(".")[0]).joinpath(LEXICON).read_bytes()


def generate(seed: int, sizes: Sizes) -> Corpus:
    """Distinct texts, three splits, six annotators of two groups, and a rationale for every label vector."""
    texts: set[str] = set()
    items: list[Item] = []
    for split, size in sizes._asdict().items():
        attempt = 0
        while size:
            item = _item(seed, split, attempt)
            attempt += 1
            if text_digest(item.text) not in texts:
                texts.add(text_digest(item.text))
                items.append(item)
                size -= 1
    known = lexicon()
    groups = {name: one["group"] for name, one in known["annotators"].items()}
    digest = hashlib.sha256(_bytes() + f"{seed} {tuple(sizes)}".encode()).hexdigest()
    return Corpus("generated", tuple(known["labels"]), "Emotion(s)", "emotions", tuple(items), groups, digest)


def truth(text: str) -> Vector:
    """What the words plainly say: a label is on when one of its words stands in the text."""
    words = set("".join(c if c.isalpha() else " " for c in text.lower()).split())
    return tuple(not words.isdisjoint(members) for members in lexicon()["labels"].values())


def _item(seed: int, split: str, attempt: int) -> Item:
    key = (seed, split, attempt)
    text = _text(*key)
    plain = truth(text)
    labels = {name: _annotate(name, one, plain, key) for name, one in lexicon()["annotators"].items()}
    item = with_aggregate(Item(f"generated-{split}-{attempt + 1}", split, text, labels))
    return item._replace(rationales={name: _rationale(text, cells) for name, cells in item.labels.items()})


def _text(*key: object) -> str:
    known = lexicon()
    u = share(*key, "how many")
    kind = "none" if u < EMPTY else "two" if u < EMPTY + DOUBLE else "one"
    first, second = shuffled(list(known["labels"]), str, *key, "labels")[:2]
    parts = {name: pick(known["parts"][name], *key, name) for name in ("opening", "event")}
    words = {"a": pick(known["labels"][first], *key, "a"), "b": pick(known["labels"][second], *key, "b")}
    text = pick(known["sentences"][kind], *key, "sentence").format(**parts, **words)
    tail = f" Part {below(900, *key, 'tail') + 100}." if number(*key, "has tail") % 2 else ""
    return one_line(text[0].upper() + text[1:] + tail)


def _annotate(name: str, how: Mapping[str, Any], plain: Vector, key: tuple[object, ...]) -> Vector:
    """Labels read as others first, then misses and false alarms, each cell on its own."""
    labels = tuple(lexicon()["labels"])
    read = set()
    for label, on in zip(labels, plain, strict=True):
        other, chance = how.get("reads", {}).get(label, (label, 0.0))
        if on:
            read.add(other if share(*key, name, "reads", label) < chance else label)
    return tuple(_heard(label in read, how, (*key, name, "cell", label)) for label in labels)


def _heard(on: bool, how: Mapping[str, Any], key: tuple[object, ...]) -> bool:
    return share(*key) >= how["miss"] if on else share(*key) < how["false_alarm"]


def _rationale(text: str, cells: Vector) -> str:
    """Says which word speaks for which label; a label that no word speaks for is between the lines."""
    reasons = []
    lowered = text.lower()
    for (label, words), on in zip(lexicon()["labels"].items(), cells, strict=True):
        if on:
            word = next((word for word in words if word in lowered), None)
            reasons.append(f'the word "{word}" speaks of {label}' if word else f"{label} lies between the lines")
    return f"Here {', and '.join(reasons)}." if reasons else "A plain report in which no feeling is named."

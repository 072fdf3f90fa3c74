"""The words that stand for labels: the set's own names, and a small versioned table of aliases (``aliases.toml``)."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import msgspec

from common.errors import Invalid
from contracts._base import Positive, Record


class Aliases(Record, frozen=True, kw_only=True):
    """``aliases.toml``."""

    version: Positive
    none: tuple[str, ...]
    none_aliases: tuple[str, ...]
    refusals: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]


class Vocabulary(NamedTuple):
    """What a parser of one label set knows. All keys are lower-case."""

    names: tuple[str, ...]
    """In label-set order."""
    exact: dict[str, int]
    """Name to its place in ``names``."""
    alias: dict[str, int]
    none: frozenset[str]
    none_alias: frozenset[str]
    refusals: tuple[str, ...]
    words: re.Pattern[str]
    """Finds a name or an alias as whole words, the longest first."""
    version: int


@cache
def aliases() -> Aliases:
    """The packaged table, read once."""
    return msgspec.convert(
        tomllib.loads(files("llm_studies.icl_priors").joinpath("aliases.toml").read_text("utf-8")), Aliases
    )


@cache
def _vocabulary(names: tuple[str, ...]) -> Vocabulary:
    table = aliases()
    exact = {name.lower(): i for i, name in enumerate(names)}
    alias = {word: exact[name] for name, words in table.labels.items() if name in exact for word in words}
    alias = {word: i for word, i in alias.items() if word not in exact}
    known = sorted([*exact, *alias], key=len, reverse=True)
    return Vocabulary(
        names=names,
        exact=exact,
        alias=alias,
        none=frozenset(table.none) - set(exact),
        none_alias=frozenset(table.none_aliases) - set(exact),
        refusals=table.refusals,
        words=re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, known))})(?![\w-])", re.IGNORECASE),
        version=table.version,
    )


def vocabulary(names: Sequence[str]) -> Vocabulary:
    """Of a label set. Raises Invalid for an empty set, an empty name, or names that differ in case alone."""
    if not names or not all(name.strip() for name in names) or len({n.lower() for n in names}) < len(names):
        raise Invalid("a label set has at least one name, and names that differ by more than case")
    return _vocabulary(tuple(names))

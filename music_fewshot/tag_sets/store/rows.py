"""Rows of the tables <-> tag sets. What is read is what was written: texts, floats and embeddings to the bit."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np
from sqlalchemy import Row

from common.errors import Invalid
from contracts.music_fewshot import Decision, Overflow
from music_fewshot.tag_sets.content import Content, Item, Stored

Values = dict[str, Any]
"""Of one row, by column."""


class Header(NamedTuple):
    """A tag set without its clips."""

    id: str
    version: int
    created: str
    """UTC, ISO 8601."""
    changed: str
    name: str
    description: str
    model: str
    graph_sha256: str
    decision: Decision
    overflow: Overflow
    items: int
    """Number of clips."""


def now() -> datetime:
    """To the millisecond, as an id holds it."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def iso(time: datetime) -> str:
    """UTC, ISO 8601."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def new_id(created: datetime) -> str:
    """UUID version 7 (RFC 9562, section 5.7) as 32 hex digits: milliseconds, then 74 random bits."""
    milliseconds = round(created.timestamp() * 1000)
    variant = 0b10 << 62
    return f"{milliseconds:012x}7{secrets.randbits(12):03x}{variant | secrets.randbits(62):016x}"


def tag_set_values(content: Content) -> Values:
    """Columns of ``tag_set`` that an edit may change. Raises Invalid for text that no database takes."""
    return {
        "name": storable("name", content.name),
        "description": storable("description", content.description),
        "model": content.model,
        "graph_sha256": content.graph_sha256,
        "decision": msgspec.to_builtins(content.decision),
        "overflow": content.overflow,
    }


def item_values(tag_set_id: str, position: int, item: Item) -> Values:
    """A row of ``tag_set_item``. Raises Invalid for text that no database takes."""
    return {
        "tag_set_id": tag_set_id,
        "position": position,
        "id": item.id,
        "clip": storable("clip", item.clip),
        "embedding": item.embedding.astype("<f4", copy=False).tobytes(),
        "seconds": item.seconds,
        "windows": item.windows,
        "audio_sha256": item.audio_sha256,
    }


def tag_values(tag_set_id: str, position: int, tags: Iterable[str]) -> list[Values]:
    """Rows of ``tag_set_item_tag``. Raises Invalid for text that no database takes."""
    return [
        {"tag_set_id": tag_set_id, "position": position, "rank": rank, "name": storable("tag", tag)}
        for rank, tag in enumerate(tags)
    ]


def storable(field: str, text: str) -> str:
    """``text``, unless PostgreSQL would refuse it: SQLite takes the same, so a set can always move between the two."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid.field(field, "holds a NUL character or half a surrogate pair; leave it out")
    return text


def content(row: Row[Any], items: Sequence[Row[Any]], tags: Iterable[Row[Any]]) -> Content:
    """From rows in the order of ``position`` (and ``rank``)."""
    names: dict[int, list[str]] = {item.position: [] for item in items}
    for position, name in map(tuple, tags):
        names[position].append(name)
    return Content(
        name=row.name,
        description=row.description,
        model=row.model,
        graph_sha256=row.graph_sha256,
        decision=_decision(row.decision),
        overflow=row.overflow,
        items=tuple(_item(item, names[item.position]) for item in items),
    )


def stored(row: Row[Any], content: Content) -> Stored:
    """The version that ``row`` of ``tag_set`` heads."""
    return Stored(row.id, row.version, iso(row.created), iso(row.changed), content)


def header(row: Row[Any]) -> Header:
    """From a row of ``tag_set`` and the number of its clips, ``items``."""
    return Header(
        id=row.id,
        version=row.version,
        created=iso(row.created),
        changed=iso(row.changed),
        name=row.name,
        description=row.description,
        model=row.model,
        graph_sha256=row.graph_sha256,
        decision=_decision(row.decision),
        overflow=row.overflow,
        items=row.items,
    )


def _decision(values: Mapping[str, Any]) -> Decision:
    return msgspec.convert(values, Decision)


def _item(row: Row[Any], tags: list[str]) -> Item:
    # Over bytes: read-only, so no reader can change what another one shares.
    embedding = np.frombuffer(row.embedding, "<f4").astype(np.float32, copy=False)
    return Item(row.id, row.clip, tuple(tags), embedding, row.seconds, row.windows, row.audio_sha256)

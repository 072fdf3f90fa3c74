"""Tag sets ready to be asked: the matcher of a version, made once and kept while it is used."""

import asyncio
from typing import NamedTuple

import numpy as np

from music_fewshot.lc_protonets.closed import multiplicities
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.tag_sets.content import Content, Stored
from music_fewshot.tag_sets.edits import label_sets
from music_fewshot.tag_sets.once import Once
from music_fewshot.tag_sets.store import Store

ROOM = 512 * 1024 * 1024
"""Bytes of all matchers that are kept."""


class Entry(NamedTuple):
    """One version and its matcher, whose label i is ``tags[i]`` and whose item i is ``stored.content.items[i]``."""

    stored: Stored
    tags: tuple[str, ...]
    matcher: TagIndex
    combinations: int | None
    """Label combinations of the clips; None where the tag set has degraded: counting them takes the closed sets."""


class Indexes:
    """The matchers of this process. Every answer asks the store which version is the newest: replicas agree."""

    def __init__(self, room: int = ROOM) -> None:
        self._entries: Once[tuple[str, int], Entry] = Once(room, size)

    async def current(self, store: Store, id: str) -> Entry:  # noqa: A002
        """The newest version. Raises Unknown, Unavailable."""
        version = await store.version(id)
        found = await self._entries.get((id, version), lambda: self._load(store, id))
        if found.stored.version != version:  # edited between the two questions
            self.keep(found)
        return found

    def keep(self, entry: Entry) -> None:
        """What an edit has made anyway."""
        self._entries.put((entry.stored.id, entry.stored.version), entry)

    async def _load(self, store: Store, id: str) -> Entry:  # noqa: A002
        stored = await store.get(id)
        return await asyncio.to_thread(indexed, stored)


def indexed(stored: Stored) -> Entry:
    """Make the matcher of a version."""
    return entry(stored, build(stored.content))


def entry(stored: Stored, matcher: TagIndex) -> Entry:
    """A version and the matcher that was built of its content."""
    combinations = sum(multiplicities(matcher.sets)) if matcher.exact else None
    return Entry(stored, stored.content.tags, matcher, combinations)


def build(content: Content) -> TagIndex:
    """Raises TooManyClosedSets (422) where the tag set does not degrade."""
    embeddings = np.stack([item.embedding for item in content.items])
    return TagIndex.build(embeddings, label_sets(content), len(content.tags), degrade=content.overflow == "degrade")


def size(entry: Entry) -> int:
    """Bytes, about: of the arrays and of those that the index makes when it is first asked."""
    index = entry.matcher
    arrays = [value for value in (*vars(index).values(), *index.extents) if isinstance(value, np.ndarray)]
    held = sum(mask.bit_count() for mask in index.sets)
    asked = len(index.sets) * index.labels + 8 * held
    masks = (len(index.sets) + len(index.label_sets)) * (40 + index.labels // 8)
    kept = sum(item.embedding.nbytes + 500 for item in entry.stored.content.items)
    return sum(array.nbytes for array in arrays) + asked + masks + kept

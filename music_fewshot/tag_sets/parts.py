"""What keeping and asking tag sets have in common."""

import asyncio
from typing import NamedTuple

from common.errors import KitharaError
from contracts.music_fewshot import TagSet
from music_fewshot.service import Embedder, window_seconds
from music_fewshot.tag_sets import describe
from music_fewshot.tag_sets.indexes import Entry, Indexes
from music_fewshot.tag_sets.opening import Opening

INLINE_ITEMS = 200
"""Clips that are described faster than a thread takes over."""


class Parts(NamedTuple):
    """One of each in a process."""

    embedder: Embedder
    opening: Opening
    indexes: Indexes

    async def entry(self, id: str) -> Entry:  # noqa: A002
        """The newest version of a tag set. Raises Unknown, Unavailable."""
        return await self.indexes.current(await self.opening.store(), id)

    async def described(self, entry: Entry) -> TagSet:
        """As callers see it; the warning of short clips needs the model to be served."""
        try:
            window = window_seconds(self.embedder.card(entry.stored.content.model, "model"))
        except KitharaError:
            window = None
        if len(entry.stored.content.items) <= INLINE_ITEMS:
            return describe.tag_set(entry, window)
        return await asyncio.to_thread(describe.tag_set, entry, window)

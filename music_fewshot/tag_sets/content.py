"""What a tag set is, apart from where it is kept and how it is asked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from contracts.music_fewshot import Decision, Overflow


class Item(NamedTuple):
    """A support clip."""

    id: str
    clip: str
    tags: tuple[str, ...]
    """Sorted, without repetition."""
    embedding: np.ndarray
    """float32 (D,)"""
    seconds: float
    windows: int
    audio_sha256: str


class Content(NamedTuple):
    """All that an edit may change, and the embedding that it is bound to."""

    name: str
    description: str
    model: str
    """``name@version``"""
    graph_sha256: str
    decision: Decision
    overflow: Overflow
    items: tuple[Item, ...]
    """In the order in which they were added."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that a clip carries, sorted: the order does not depend on the order of edits."""
        return tuple(sorted({tag for item in self.items for tag in item.tags}))


class Stored(NamedTuple):
    """One version of a tag set."""

    id: str
    version: int
    created: str
    """UTC, ISO 8601."""
    changed: str
    content: Content


Change = Callable[[Content], Content]
"""An edit: a function of what is there. It may raise what the caller is to be told; then nothing changes."""

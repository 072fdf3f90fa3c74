"""What an edit changed, so that only that is written."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from music_fewshot.tag_sets.content import Item


class Difference(NamedTuple):
    """By position of the rows, which ascends in the order of the set; removals come first."""

    removed: tuple[int, ...]
    retagged: tuple[tuple[int, Item], ...]
    added: tuple[tuple[int, Item], ...]


def difference(before: Mapping[int, Item], after: Sequence[Item]) -> Difference:
    """From the clips at their positions, ascending, to those that shall be.

    A clip that stays keeps its position, new ones follow. An edit that changes more than tags, or the order, is as if
    all clips were new.
    """
    wanted = {item.id: item for item in after}
    kept = {
        position: wanted[item.id]
        for position, item in before.items()
        if item.id in wanted and _same_clip(item, wanted[item.id])
    }
    first, new = after[: len(kept)], after[len(kept) :]
    if [item.id for item in kept.values()] != [item.id for item in first]:
        return Difference(tuple(before), (), tuple(enumerate(after)))
    return Difference(
        removed=tuple(position for position in before if position not in kept),
        retagged=tuple((position, item) for position, item in kept.items() if item.tags != before[position].tags),
        added=tuple(enumerate(new, start=max(before, default=-1) + 1)),
    )


def _same_clip(one: Item, other: Item) -> bool:
    """Apart from the tags; embeddings to the bit."""
    if one is other:
        return True
    return _fields(one) == _fields(other) and one.embedding.tobytes() == other.embedding.tobytes()


def _fields(item: Item) -> tuple[object, ...]:
    return item.id, item.clip, item.seconds, item.windows, item.audio_sha256

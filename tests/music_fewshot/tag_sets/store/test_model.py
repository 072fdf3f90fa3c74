"""Any sequence of edits through the store equals the same functions on a value in memory."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.music_fewshot import Decision
from music_fewshot.tag_sets.content import Change, Content, Item
from music_fewshot.tag_sets.store import Store

FLOATS = st.floats(width=32)
ITEMS = st.builds(
    lambda number, clip, tags, embedding, seconds, windows: Item(
        f"{number:032x}", clip, tuple(sorted(tags)), np.array(embedding, np.float32), seconds, windows, "0" * 64
    ),
    st.integers(0, 7),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
    st.sets(st.sampled_from(["a", "b", "ä"]), max_size=3),
    st.lists(FLOATS, min_size=2, max_size=2),
    st.floats(0.001, 1e9),
    st.integers(1, 2**31 - 1),
)


def put(item: Item) -> Change:
    """In the place of the clip of this id, or last."""

    def change(content: Content) -> Content:
        ids = [one.id for one in content.items]
        at = ids.index(item.id) if item.id in ids else len(ids)
        return content._replace(items=(*content.items[:at], item, *content.items[at + 1 :]))

    return change


def drop(number: int) -> Change:
    """The clip of this id, if it is there."""
    return lambda c: c._replace(items=tuple(item for item in c.items if item.id != f"{number:032x}"))


def rename(old: str, new: str) -> Change:
    """A tag of all clips."""

    def tags(item: Item) -> tuple[str, ...]:
        return tuple(sorted({new if tag == old else tag for tag in item.tags}))

    return lambda c: c._replace(items=tuple(item._replace(tags=tags(item)) for item in c.items))


def turn(content: Content) -> Content:
    """The order."""
    return content._replace(items=content.items[::-1])


def describe(text: str, threshold: float | None) -> Change:
    """The head."""
    return lambda c: c._replace(description=text, decision=Decision(rule="threshold", threshold=threshold))


def fail(_: Content) -> Content:
    """Changes nothing."""
    raise LookupError


TAGS = st.sampled_from(["a", "b", "ä", "c"])
CHANGES = st.one_of(
    st.builds(put, ITEMS),
    st.builds(drop, st.integers(0, 7)),
    st.builds(rename, TAGS, TAGS),
    st.just(turn),
    st.builds(describe, st.sampled_from(["", "x", "\U0001f3bb"]), st.none() | st.floats(-1, 1)),
    st.just(fail),
)


def comparable(content: Content) -> object:
    return (
        content._replace(items=()),
        [(item._replace(embedding=np.empty(0))[:3], item[4:], item.embedding.tobytes()) for item in content.items],
    )


async def replay(url: str, changes: Sequence[Change]) -> None:
    model, version = Content("n", "", "m@1", "0" * 64, Decision(), "refuse", ()), 1
    async with Store(url) as store:
        made = await store.create(model, "create", "")
        for change in changes:
            try:
                model = change(model)
            except LookupError:
                await asyncio.gather(store.edit(made.id, version, change, "update", ""), return_exceptions=True)
            else:
                version += 1
                edited = await store.edit(made.id, version - 1, change, "update", "")
                assert edited.version == version
                assert comparable(edited.content) == comparable(model)
            read = await store.get(made.id)
            assert read.version == version
            assert comparable(read.content) == comparable(model)
        assert [header.items for header in await store.page(9)] == [len(model.items)]


@settings(max_examples=40, deadline=None)
@given(st.lists(CHANGES, max_size=12))
def test_edits_through_the_store_equal_the_functions(changes: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(replay(f"sqlite+aiosqlite:///{Path(folder) / 'sets.sqlite3'}", changes))

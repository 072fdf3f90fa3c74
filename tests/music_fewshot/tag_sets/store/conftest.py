"""Tag sets to keep."""

from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest

from contracts.music_fewshot import Decision
from music_fewshot.tag_sets.content import Content, Item, Stored
from music_fewshot.tag_sets.store import Store


def _item(number: int, *tags: str) -> Item:
    embedding = np.random.default_rng(number).standard_normal(16).astype(np.float32)
    seconds = 1.1 * number + 0.1
    return Item(f"{number:032x}", f"clip {number}.flac", tags, embedding, seconds, 1 + number, f"{number:064x}")


def _content(*items: Item) -> Content:
    return Content("name", "description", "music-embedding@1", "1" * 64, Decision(), "refuse", items)


def _exact(content: Content) -> tuple[object, ...]:
    """All of it, comparable: an embedding as type, shape and bits."""
    return (
        *content._replace(items=()),
        *((*item._replace(embedding=np.empty(0))[:3], *item[4:], *_bits(item.embedding)) for item in content.items),
    )


def _bits(array: np.ndarray) -> tuple[object, ...]:
    return array.dtype, array.shape, array.tobytes()


@pytest.fixture
def item() -> Callable[..., Item]:
    """Makes a clip from a number and tags; those of other numbers differ in every field."""
    return _item


@pytest.fixture
def content() -> Callable[..., Content]:
    """Makes a tag set of clips."""
    return _content


@pytest.fixture
def exact() -> Callable[[Content], tuple[object, ...]]:
    """What to compare two tag sets by."""
    return _exact


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """Open, on each database."""
    async with Store(url) as store:
        yield store


@pytest.fixture
async def kept(store: Store) -> Stored:
    """A tag set of three clips in ``store``."""
    return await store.create(_content(_item(1, "a"), _item(2, "a", "b"), _item(3, "b")), "create", "three clips")

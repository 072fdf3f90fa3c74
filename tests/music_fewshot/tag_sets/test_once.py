"""Costly results: made once at a time, the latest used ones kept, no error kept."""

import asyncio

import pytest

from music_fewshot.tag_sets.once import Once


class Maker:
    def __init__(self) -> None:
        self.made: list[int] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    def of(self, value: int):
        async def make() -> int:
            self.made.append(value)
            await self.go.wait()
            if self.error:
                raise self.error
            return value

        return make


async def test_who_asks_at_the_same_time_gets_the_same_result() -> None:
    cache, maker = Once[str, int](100, lambda v: v), Maker()
    asked = [asyncio.ensure_future(cache.get("k", maker.of(7))) for _ in range(5)]
    await asyncio.sleep(0)
    maker.go.set()
    assert await asyncio.gather(*asked) == [7] * 5
    assert await cache.get("k", maker.of(8)) == 7
    assert maker.made == [7]


async def test_it_is_made_for_the_others_when_the_first_one_leaves() -> None:
    cache, maker = Once[str, int](100, lambda v: v), Maker()
    first = asyncio.ensure_future(cache.get("k", maker.of(7)))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(cache.get("k", maker.of(8)))
    await asyncio.sleep(0)
    first.cancel()
    maker.go.set()
    assert await second == 7
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_error_is_told_to_all_and_not_kept() -> None:
    cache, maker = Once[str, int](100, lambda v: v), Maker()
    maker.error = ValueError("no")
    asked = [asyncio.ensure_future(cache.get("k", maker.of(7))) for _ in range(2)]
    await asyncio.sleep(0)
    maker.go.set()
    assert [str(e) for e in await asyncio.gather(*asked, return_exceptions=True)] == ["no", "no"]
    maker.error = None
    assert await cache.get("k", maker.of(8)) == 8


async def test_the_longest_unused_gives_way_and_the_last_one_stays() -> None:
    cache = Once[str, int](10, lambda v: v)
    cache.put("a", 4)
    cache.put("b", 4)
    assert cache.peek("a") == 4
    cache.put("c", 4)
    assert [cache.peek(k) for k in "abc"] == [4, None, 4]
    cache.put("a", 2)  # smaller than before: both still fit with another
    cache.put("d", 4)
    assert [cache.peek(k) for k in "acd"] == [2, 4, 4]
    cache.put("huge", 1000)
    assert [cache.peek(k) for k in ("a", "c", "d", "huge")] == [None, None, None, 1000]
    cache.put("e", 1)
    assert [cache.peek(k) for k in ("huge", "e")] == [None, 1]

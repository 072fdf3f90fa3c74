"""What is kept comes back, edits are versions, and nothing half-done is ever seen."""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from common.errors import Invalid, Stale, Unknown
from contracts.music_fewshot import Decision
from music_fewshot.tag_sets.content import Content, Item, Stored
from music_fewshot.tag_sets.store import Store
from music_fewshot.tag_sets.store import store as module
from music_fewshot.tag_sets.store.address import parse
from music_fewshot.tag_sets.store.engine import create_engine

MakeItem = Callable[..., Item]
MakeContent = Callable[..., Content]
Exact = Callable[[Content], tuple[object, ...]]
NO_SUCH = "0" * 32


def renamed(name: str) -> Callable[[Content], Content]:
    return lambda content: content._replace(name=name)


async def query(url: str, statement: str) -> list[tuple[object, ...]]:
    """Asked past the store."""
    engine = create_engine(parse(url), pooled=False)
    async with engine.connect() as connection:
        found = [tuple(row) for row in await connection.execute(text(statement))]
    await engine.dispose()
    return found


async def test_a_tag_set_comes_back_to_the_bit(url: str, item: MakeItem, exact: Exact) -> None:
    nan = np.array([np.nan, -0.0, np.inf, 1e-45], np.float32)
    nan.view(np.uint32)[0] |= 0x1234  # a payload
    tags = ("Ж", "\U0001f3bb", "a b", "x" * 200)
    odd = item(1)._replace(tags=tags, embedding=nan, seconds=0.1 + 0.2, clip="ünï 'quoted\" %s ?.flac")
    decision = Decision(rule="threshold", k=2_000, threshold=-0.1)
    written = Content("n" * 200, "lines\nof\ttext", "m@7", "f" * 64, decision, "degrade", (odd, item(5), item(2)))
    async with Store(url) as store:
        made = await store.create(written, "import", "from a file")
    async with Store(url) as store:
        read = await store.get(made.id)
    assert exact(read.content) == exact(written)
    assert read[:4] == made[:4]
    assert made.version == 1
    assert not read.content.items[0].embedding.flags.writeable


@pytest.mark.parametrize("threshold", [-0.0, 1.0, 0.1, 2.0**-1074, 0.30000000000000004])
async def test_a_threshold_comes_back_to_the_bit(store: Store, content: MakeContent, threshold: float) -> None:
    made = await store.create(content()._replace(decision=Decision(threshold=threshold)), "create", "")
    read = (await store.get(made.id)).content.decision.threshold
    assert read is not None
    assert read.hex() == threshold.hex()


async def test_an_edit_is_one_version_more_and_is_noted(
    store: Store, kept: Stored, item: MakeItem, exact: Exact
) -> None:
    def change(content: Content) -> Content:
        first, _, third = content.items
        return content._replace(name="new", items=(first, third._replace(tags=("c", "d")), item(9, "e")))

    edited = await store.edit(kept.id, 1, change, "add-items", "one in, one out")
    read = await store.get(kept.id)
    assert exact(edited.content) == exact(read.content) == exact(change(kept.content))
    assert read[:4] == edited[:4]
    assert (edited.version, edited.created) == (2, kept.created)
    assert edited.changed >= kept.changed
    told = [(edit.version, edit.action, edit.detail, edit.at) for edit in await store.edits(kept.id)]
    assert told == [
        (2, "add-items", "one in, one out", edited.changed),
        (1, "create", "three clips", kept.created),
    ]


async def test_an_edit_that_changes_nothing_is_a_version_too(store: Store, kept: Stored, exact: Exact) -> None:
    assert (await store.edit(kept.id, None, lambda content: content, "update", "")).version == 2
    assert exact((await store.get(kept.id)).content) == exact(kept.content)


async def test_any_order_of_clips_is_kept(store: Store, kept: Stored, item: MakeItem) -> None:
    await store.edit(kept.id, 1, lambda c: c._replace(items=(item(7), *reversed(c.items))), "update", "")
    assert [i.clip for i in (await store.get(kept.id)).content.items] == [f"clip {n}.flac" for n in (7, 3, 2, 1)]


async def test_only_the_difference_is_written(url: str, item: MakeItem, content: MakeContent) -> None:
    # A row that PostgreSQL writes again gets another xmin; for SQLite, a trigger forbids to touch the row.
    first = "WHERE position = 0"
    async with Store(url) as store:
        made = await store.create(content(item(1, "a"), item(2, "b"), item(3, "c")), "create", "")
        before = await query(url, f"SELECT xmin FROM tag_set_item {first}") if "postgresql" in url else None
        if before is None:
            engine = create_engine(parse(url), pooled=False)
            async with engine.begin() as connection:
                for event in ("UPDATE", "DELETE"):
                    body = "BEGIN SELECT RAISE(ABORT, 'touched'); END"
                    await connection.execute(
                        text(f"CREATE TRIGGER t{event} BEFORE {event} ON tag_set_item WHEN OLD.position = 0 {body}")
                    )
            await engine.dispose()
        await store.edit(made.id, 1, lambda c: c._replace(items=(c.items[0], c.items[2], item(9))), "update", "")
        if before is not None:
            assert await query(url, f"SELECT xmin FROM tag_set_item {first}") == before
    assert [row[0] for row in await query(url, "SELECT position FROM tag_set_item ORDER BY position")] == [0, 2, 3]


async def test_the_same_clips_may_be_in_two_tag_sets(store: Store, kept: Stored, exact: Exact) -> None:
    copy = await store.create(kept.content, "import", "")
    await store.edit(kept.id, 1, lambda c: c._replace(items=c.items[:1]), "remove-item", "")
    assert exact((await store.get(copy.id)).content) == exact(kept.content)
    assert await store.version(copy.id) == 1


async def test_an_edit_for_another_version_is_refused(store: Store, kept: Stored, exact: Exact) -> None:
    await store.edit(kept.id, 1, renamed("second"), "update", "")
    for stale in (1, 3):
        with pytest.raises(Stale, match=rf"at version 2, .* version {stale}; read it again"):
            await store.edit(kept.id, stale, renamed("lost"), "update", "")
        with pytest.raises(Stale, match="at version 2"):
            await store.delete(kept.id, stale)
    assert (await store.get(kept.id)).content.name == "second"


async def test_an_edit_that_raises_changes_nothing(url: str, store: Store, kept: Stored, exact: Exact) -> None:
    def change(content: Content) -> Content:
        # Looks like a failure of the database, and is not one.
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await store.edit(kept.id, 1, change, "update", "")
    with pytest.raises(Invalid, match="tag: holds a NUL"):
        await store.edit(
            kept.id, 1, lambda c: c._replace(name="x", items=(c.items[0]._replace(tags=("\0",)),)), "update", ""
        )
    assert exact((await store.get(kept.id)).content) == exact(kept.content)
    assert len(await store.edits(kept.id)) == await store.version(kept.id) == 1


@pytest.mark.parametrize("bad", ["a\0", "\ud800"])
async def test_text_that_postgresql_refuses_is_refused_by_both(store: Store, content: MakeContent, bad: str) -> None:
    for wrong in (content()._replace(name=bad), content()._replace(description=bad)):
        with pytest.raises(Invalid, match="leave it out"):
            await store.create(wrong, "create", "")
    with pytest.raises(Invalid, match="detail: "):
        await store.create(content(), "create", bad)
    assert await store.page(10) == []


@pytest.mark.parametrize("id_", [NO_SUCH, "", "A" * 32, "0" * 31, "é" * 32, "\0", "x" * 10_000, "' OR 1=1 --"])
async def test_an_unknown_id_is_said_to_be_one(store: Store, kept: Stored, id_: str) -> None:
    for ask in (
        store.get(id_),
        store.version(id_),
        store.edits(id_),
        store.delete(id_, None),
        store.edit(id_, None, renamed("x"), "update", ""),
    ):
        with pytest.raises(Unknown, match="no tag set of this id; GET /v1/music/tag-sets"):
            await ask


async def test_delete_leaves_no_row(url: str, store: Store, kept: Stored, content: MakeContent) -> None:
    other = await store.create(content(), "create", "")
    await store.delete(kept.id, 1)
    for table in ("tag_set_item", "tag_set_item_tag"):
        assert await query(url, f"SELECT count(*) FROM {table}") == [(0,)]
    assert await query(url, "SELECT tag_set_id FROM tag_set_edit") == [(other.id,)]
    with pytest.raises(Unknown):
        await store.get(kept.id)


async def test_pages_are_oldest_first_and_outlive_a_deletion(
    store: Store, item: MakeItem, content: MakeContent
) -> None:
    made = [await store.create(content(*map(item, range(n)))._replace(name=str(n)), "create", "") for n in range(5)]
    ids = [one.id for one in sorted(made, key=lambda one: (one.created, one.id))]
    pages = [await store.page(2), await store.page(2, ids[1]), await store.page(2, ids[3]), await store.page(2, ids[4])]
    assert [[header.id for header in page] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    headers = {header.id: header for page in pages for header in page}
    for number, one in enumerate(made):
        header = headers[one.id]
        assert (header.items, header.name) == (number, str(number))
        assert (header.version, header.created, header.changed) == (1, one.created, one.changed)
        assert header[5:10] == one.content[1:6]
    await store.delete(ids[1], None)
    assert [header.id for header in await store.page(1, ids[1])] == [ids[2]]


async def test_times_are_utc_and_the_id_holds_the_time(kept: Stored) -> None:
    created = datetime.fromisoformat(kept.created)
    assert created.utcoffset() == timedelta(0)
    assert int(kept.id[:12], 16) == round(created.timestamp() * 1000)
    assert (kept.id[12], kept.id[16] in "89ab") == ("7", True)


async def test_the_newest_edits_are_told(store: Store, kept: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.EDITS == 1_000
    monkeypatch.setattr(module, "EDITS", 3)
    for name in "bcde":
        await store.edit(kept.id, None, renamed(name), "update", name)
    assert [(edit.version, edit.detail) for edit in await store.edits(kept.id)] == [(5, "e"), (4, "d"), (3, "c")]


async def test_a_reader_sees_one_version_whole(store: Store, item: MakeItem, content: MakeContent) -> None:
    # At version v: named v, with v clips, each tagged v times. Each edit touches every table.
    def grown(content: Content) -> Content:
        version = len(content.items) + 1
        tags = tuple(map(str, range(version)))
        return content._replace(name=str(version), items=tuple(item(n, *tags) for n in range(version)))

    made = await store.create(grown(content()), "create", "")
    done = asyncio.Event()

    async def read() -> int:
        reads = 0
        while not done.is_set():
            seen = await store.get(made.id)
            assert str(seen.version) == seen.content.name
            assert [len(i.tags) for i in seen.content.items] == [seen.version] * seen.version
            reads += 1
        return reads

    async def write() -> None:
        for version in range(1, 25):
            await store.edit(made.id, version, grown, "update", "")
        done.set()

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read()) for _ in range(3)]
        group.create_task(write())
    assert min(task.result() for task in readers) > 1


async def test_the_loop_goes_on_while_an_edit_computes(store: Store, kept: Stored) -> None:
    go = threading.Event()

    def change(content: Content) -> Content:
        assert go.wait(20), "the loop is halted"
        return content

    editing = asyncio.create_task(store.edit(kept.id, 1, change, "update", ""))
    # Readers are answered meanwhile, with what was.
    assert (await store.get(kept.id)).version == await store.version(kept.id) == 1
    go.set()
    assert (await editing).version == 2

"""The store of tag sets."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from common.errors import Stale, Unknown
from contracts.music_fewshot import Edit
from music_fewshot.tag_sets.content import Change, Content, Stored
from music_fewshot.tag_sets.store import rows
from music_fewshot.tag_sets.store.address import SQLITE, parse
from music_fewshot.tag_sets.store.difference import Difference, difference
from music_fewshot.tag_sets.store.engine import asking, create_engine, reading, writing
from music_fewshot.tag_sets.store.readiness import Readiness
from music_fewshot.tag_sets.store.tables import EditRow, ItemRow, ItemTagRow, TagSetRow
from music_fewshot.tag_sets.store.transactions import Transaction, transaction

EDITS = 1_000
"""Newest edits told."""
WRITERS = 5
"""Edits of one process under way at once on PostgreSQL: readers always find a connection."""
_ID = re.compile(r"[0-9a-f]{32}")


class Store:
    """Tag sets in the database at ``url``; used as an async context manager.

    All methods raise Unavailable while the database does not answer, and serve again once it does.
    """

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises OperatorError for a URL that is not taken."""
        address = parse(url)
        self._tables = Readiness(address)
        self._engine = create_engine(address)
        self._asking, self._reading, self._writing = (of(self._engine) for of in (asking, reading, writing))
        # SQLite has one writer at a time: waiting here is fair, waiting in SQLite polls.
        self._writers = asyncio.Semaphore(1 if address.drivername == SQLITE else WRITERS)

    async def __aenter__(self) -> Self:
        """Make or migrate the tables, or leave it to the first use once the database answers. Raises OperatorError."""
        await self._tables.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()

    async def create(self, content: Content, action: str, detail: str) -> Stored:
        """A new tag set, at version 1. Raises Invalid for text that no database takes."""
        now = rows.now()
        head = {"id": rows.new_id(now), "version": 1, "created": now, "changed": now}
        added = Difference((), (), tuple(enumerate(content.items)))
        async with self._writers, self._begin(self._writing) as work:
            await work.run(insert(TagSetRow), [head | rows.tag_set_values(content)])
            await _write(work, head["id"], added)
            await _note(work, head["id"], 1, action, detail, now)
        return Stored(head["id"], 1, rows.iso(now), rows.iso(now), content)

    async def page(self, limit: int, after: str | None = None) -> list[rows.Header]:
        """Up to ``limit`` tag sets, oldest first, from the one that follows ``after``; that one may be gone by now."""
        items = select(func.count()).where(ItemRow.tag_set_id == TagSetRow.id).scalar_subquery().label("items")
        query = select(*TagSetRow.__table__.columns, items).order_by(TagSetRow.id).limit(limit)
        if after is not None:
            query = query.where(TagSetRow.id > after)
        async with self._begin(self._asking) as work:
            return [rows.header(row) for row in await work.rows(query)]

    async def version(self, id: str) -> int:  # noqa: A002
        """The newest. Raises Unknown."""
        async with self._begin(self._asking) as work:
            return (await _one(work, select(TagSetRow.version), id)).version

    async def get(self, id: str) -> Stored:  # noqa: A002
        """The newest version, whole. Raises Unknown."""
        async with self._begin(self._reading) as work:
            row = await _one(work, select(*TagSetRow.__table__.columns), id)
            _, content = await _read(work, row)
        return rows.stored(row, content)

    async def edit(self, id: str, expected: int | None, change: Change, action: str, detail: str) -> Stored:  # noqa: A002
        """One more version: what ``change`` makes of the newest one, also where that is equal to what was.

        ``expected`` is the version that the edit was made for; None: whichever there is. ``change`` runs in a thread,
        while no other edit of this tag set can come between. What it raises is raised here and nothing is changed.
        Raises Unknown, Stale, Invalid for text that no database takes.
        """
        async with self._writers, self._begin(self._writing) as work:
            row = await _locked(work, id, expected)
            positions, before = await _read(work, row)
            after = await asyncio.to_thread(change, before)
            now, version = rows.now(), row.version + 1
            head = {"version": version, "changed": now}
            await work.run(update(TagSetRow).where(TagSetRow.id == id).values(**head, **rows.tag_set_values(after)))
            await _write(work, id, difference(dict(zip(positions, before.items, strict=True)), after.items))
            await _note(work, id, version, action, detail, now)
        return Stored(id, version, rows.iso(row.created), rows.iso(now), after)

    async def delete(self, id: str, expected: int | None) -> None:  # noqa: A002
        """With its edits. Raises Unknown, Stale."""
        async with self._writers, self._begin(self._writing) as work:
            await _locked(work, id, expected)
            await work.run(delete(TagSetRow).where(TagSetRow.id == id))

    async def edits(self, id: str) -> list[Edit]:  # noqa: A002
        """The newest 1,000, newest first. Raises Unknown."""
        query = select(EditRow.version, EditRow.action, EditRow.detail, EditRow.at)
        query = query.where(EditRow.tag_set_id == id).order_by(EditRow.version.desc()).limit(EDITS)
        async with self._begin(self._reading) as work:
            await _one(work, select(TagSetRow.version), id)
            found = await work.rows(query)
        return [Edit(version=e.version, action=e.action, detail=e.detail, at=rows.iso(e.at)) for e in found]

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[Transaction]:
        await self._tables.wait()
        async with transaction(engine) as work:
            yield work


async def _one(work: Transaction, query: Any, tag_set_id: str) -> Row[Any]:
    # What is no id is not asked for: PostgreSQL refuses text that SQLite only does not find.
    found = await work.rows(query.where(TagSetRow.id == tag_set_id)) if _ID.fullmatch(tag_set_id) else ()
    if not found:
        raise Unknown("no tag set of this id; GET /v1/music/tag-sets lists those there are")
    return found[0]


async def _locked(work: Transaction, tag_set_id: str, expected: int | None) -> Row[Any]:
    row = await _one(work, select(*TagSetRow.__table__.columns).with_for_update(), tag_set_id)
    if expected is not None and row.version != expected:
        raise Stale(
            f"the tag set is at version {row.version}, this was asked for version {expected}; "
            "read it again and repeat the request for what it is now"
        )
    return row


async def _read(work: Transaction, row: Row[Any]) -> tuple[list[int], Content]:
    """With the position of each clip."""
    items = await work.rows(
        select(*ItemRow.__table__.columns).where(ItemRow.tag_set_id == row.id).order_by(ItemRow.position)
    )
    tags = await work.rows(
        select(ItemTagRow.position, ItemTagRow.name)
        .where(ItemTagRow.tag_set_id == row.id)
        .order_by(ItemTagRow.position, ItemTagRow.rank)
    )
    return [item.position for item in items], await asyncio.to_thread(rows.content, row, items, tags)


async def _write(work: Transaction, tag_set_id: str, change: Difference) -> None:
    def at(table: type[ItemRow | ItemTagRow]) -> Any:
        return delete(table).where(table.tag_set_id == tag_set_id, table.position == bindparam("at"))

    tagged = [*change.retagged, *change.added]
    await work.run(at(ItemRow), [{"at": position} for position in change.removed])
    await work.run(at(ItemTagRow), [{"at": position} for position, _ in change.retagged])
    await work.run(insert(ItemRow), [rows.item_values(tag_set_id, position, item) for position, item in change.added])
    await work.run(
        insert(ItemTagRow),
        [values for position, item in tagged for values in rows.tag_values(tag_set_id, position, item.tags)],
    )


async def _note(work: Transaction, tag_set_id: str, version: int, action: str, detail: str, now: Any) -> None:
    edit = {"tag_set_id": tag_set_id, "version": version, "action": action, "detail": detail, "at": now}
    await work.run(insert(EditRow), [edit | {"detail": rows.storable("detail", detail)}])

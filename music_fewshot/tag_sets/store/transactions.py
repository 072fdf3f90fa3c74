"""Transactions whose failures are told as ``faults`` says. What is raised between statements passes unchanged."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from music_fewshot.tag_sets.store.faults import database_faults

T = TypeVar("T")


class Transaction:
    """Of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """What a query finds. Raises Unavailable."""
        return (await _step(self._connection, self._connection.execute(statement))).all()

    async def run(self, statement: Executable, values: Sequence[dict[str, Any]] | None = None) -> None:
        """For each of ``values``, or once without any. Raises Unavailable."""
        if values is None or values:
            await _step(self._connection, self._connection.execute(statement, values))


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    """Committed at the end of the block, undone when it raises or is cancelled. Raises Unavailable."""
    connection = engine.connect()
    try:
        await _step(connection, connection.start())
        yield Transaction(connection)
        await _step(connection, connection.commit())
    finally:
        if connection.sync_connection is not None:  # started
            # Shielded: the connection goes back to the pool also where the caller leaves now.
            await asyncio.shield(connection.close())


async def _step(connection: AsyncConnection, step: Awaitable[T]) -> T:
    with database_faults():
        # A statement of SQLite runs in a thread to its end. One that was left alone would lock the file, with nobody to
        # end its transaction. PostgreSQL is told to give up.
        return await (_to_its_end(step) if connection.engine.dialect.name == "sqlite" else step)


async def _to_its_end(step: Awaitable[T]) -> T:
    """The result of ``step``; a caller that leaves meanwhile leaves when it is done."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at: nobody else will
        raise

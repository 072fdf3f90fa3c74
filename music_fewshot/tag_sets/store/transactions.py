"""Transactions whose failures are told as ``faults`` says. What is raised between statements passes unchanged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from music_fewshot.tag_sets.store.faults import database_faults


class Transaction:
    """Of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """What a query finds. Raises Unavailable."""
        with database_faults():
            return (await self._connection.execute(statement)).all()

    async def run(self, statement: Executable, values: Sequence[dict[str, Any]] | None = None) -> None:
        """For each of ``values``, or once without any. Raises Unavailable."""
        if values is None or values:
            with database_faults():
                await self._connection.execute(statement, values)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Transaction]:
    """Committed at the end of the block, undone when it raises or is cancelled. Raises Unavailable."""
    connection = engine.connect()
    with database_faults():
        await connection.start()
    try:
        yield Transaction(connection)
        with database_faults():
            await connection.commit()
    finally:
        # Shielded: the connection goes back to the pool also where the caller leaves twice.
        await asyncio.shield(connection.close())

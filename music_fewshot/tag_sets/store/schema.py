"""The tables as this code knows them, made or migrated when a store opens."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import URL, Column, Connection, MetaData, String, Table, inspect, select
from sqlalchemy.ext.asyncio import AsyncEngine

from common.errors import OperatorError
from music_fewshot.tag_sets.store.address import REMEDY, SETTING, SQLITE, described
from music_fewshot.tag_sets.store.engine import BUSY_SECONDS, create_engine, migrating
from music_fewshot.tag_sets.store.faults import FAULTS, passing, reason, unavailable
from music_fewshot.tag_sets.store.revisions import REVISIONS, VERSION_TABLE

_POLL_SECONDS = 0.05
_VERSION = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
# Alembic keeps the migration under way in module globals. Each runs in a thread with a loop of its own, so that one
# waits for another without halting a loop that serves.
_one_at_a_time = threading.Lock()


def prepare(url: URL) -> None:
    """Bring the database's tables to the newest revision; safe from many processes at once. Blocks: run it in a thread.

    Raises OperatorError where somebody must act, and Unavailable where waiting may help.
    """
    try:
        if url.drivername == SQLITE:
            _make_file(Path(str(url.database)))
        with _one_at_a_time:
            asyncio.run(_prepare(url))
    except FAULTS as error:
        if passing(error):
            raise unavailable(error) from None
        raise OperatorError(f"{described(url)} cannot be used: {reason(error)}; correct it, or {REMEDY}") from None


async def _prepare(url: URL) -> None:
    engine = create_engine(url, pooled=False)
    try:
        async with engine.connect() as connection:
            behind = await connection.run_sync(_is_behind, url)
        if behind:
            await _migrate(engine, url)
    finally:
        await engine.dispose()


def _make_file(path: Path) -> None:
    """With readers and a writer at once: the file keeps the mode. Who switches it needs the file alone for a moment."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"the folder {path.parent} for the database of tag sets cannot be made ({error.strerror}); "
            f"make it writable, or {REMEDY}"
        ) from None
    end = monotonic() + BUSY_SECONDS
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as connection:
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                break
            except sqlite3.Error as error:
                # SQLite does not always wait here by itself.
                if not passing(error) or monotonic() > end:
                    raise
                sleep(_POLL_SECONDS)
    if mode != "wal":
        raise OperatorError(f"the file {path} cannot have a write-ahead log there; take a local disk, or {REMEDY}")


def _is_behind(connection: Connection, url: URL) -> bool:
    """Raises OperatorError where the database is ahead."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return True
    current = connection.scalar(select(_VERSION.c.version_num))
    if current is not None and current not in REVISIONS:
        raise OperatorError(
            f"{described(url)} was written by a newer Kithara (its tables are at {current!r}, this one knows up to "
            f"{REVISIONS[-1]!r}); install that one, or name another database with {SETTING}"
        )
    return current != REVISIONS[-1]


async def _migrate(engine: AsyncEngine, url: URL) -> None:
    """In one transaction, while no other process does."""
    async with migrating(engine).begin() as connection:
        if await connection.run_sync(_is_behind, url):
            await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    # Imported only here: a start with the tables at their newest revision does without.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "music_fewshot.tag_sets.store:migrations")
    command.upgrade(config, "head")

"""Engines of the two databases, and how a transaction begins on each."""

from typing import Any

from sqlalchemy import URL, NullPool, event
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from music_fewshot.tag_sets.store.address import SQLITE

BUSY_SECONDS = 10.0
"""A writer of one SQLite file waits so long for another process's."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
"""For one statement on PostgreSQL, the wait for other edits of the same set included."""
CONNECTIONS = 10
"""Of one process."""

BEGIN = "kithara_begin"
"""Option of an engine: the statement with which its transactions begin; empty for none."""
SNAPSHOT, WRITE, EXCLUSIVE, NO_TRANSACTION = "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", ""
"""Of SQLite."""
# An advisory lock is a number that all users of a database share: one that nobody else takes by chance.
_ALONE = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'tag_sets')})"


def create_engine(url: URL, *, pooled: bool = True) -> AsyncEngine:
    """Connects when it is first used. Errors tell no parameters of a statement: those are users' data."""
    pool: dict[str, Any] = (
        {"pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": ANSWER_SECONDS}
        if pooled
        else {"poolclass": NullPool}
    )
    if url.drivername == SQLITE:
        engine = create_async_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True, **pool)
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
    else:
        options = {"timeout": CONNECT_SECONDS, "command_timeout": ANSWER_SECONDS}
        # A connection that broke while idle is noticed and replaced when it is taken from the pool.
        engine = create_async_engine(url, connect_args=options, hide_parameters=True, pool_pre_ping=True, **pool)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def writing(engine: AsyncEngine) -> AsyncEngine:
    """Its transactions write: on SQLite one at a time, from their begin on."""
    return engine.execution_options(**{BEGIN: WRITE}) if engine.dialect.name == "sqlite" else engine


def migrating(engine: AsyncEngine) -> AsyncEngine:
    """Its transactions wait for each other, also for those of other processes."""
    return engine.execution_options(**{BEGIN: EXCLUSIVE if engine.dialect.name == "sqlite" else _ALONE})


def reading(engine: AsyncEngine) -> AsyncEngine:
    """All statements of a transaction see the same state."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{BEGIN: SNAPSHOT})
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def asking(engine: AsyncEngine) -> AsyncEngine:
    """For one statement that reads: no transaction around it, so it costs the least."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{BEGIN: NO_TRANSACTION})
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _configure_sqlite(connection: Any, _: object) -> None:
    # None: the driver begins no transaction by itself, `_begin` does (SQLAlchemy's SQLite dialect, "Driver-level
    # autocommit"). FULL: in write-ahead mode a commit is on the disk when it is acknowledged.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin(connection: Connection) -> None:
    if statement := connection.get_execution_options().get(BEGIN):
        connection.exec_driver_sql(statement)

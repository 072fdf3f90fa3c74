"""Failures of the database, as errors that say who must act. Their texts hold no statement, parameter or password."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from common.errors import Unavailable

RETRY_SECONDS = 2.0
FAULTS = (DBAPIError, sqlite3.Error, PoolTimeout, OSError, TimeoutError)
"""What SQLAlchemy and the drivers raise where a database fails."""
_log: Any = structlog.get_logger("kithara.tag_sets")

# PostgreSQL, appendix A: connection, roll-back (deadlock), resources, object in use, operator intervention, system
# error, and read only, as a standby is.
_PASSING = ("08", "40", "53", "55", "57", "58", "25006")
# Authorisation, no such database, no privilege.
_OPERATOR = ("28", "3D", "42501")


@contextmanager
def database_faults() -> Iterator[None]:
    """Around what talks to the database while it serves. Raises Unavailable; a wrong statement of ours stays one."""
    try:
        yield
    except FAULTS as error:
        if not (passing(error) or _outside(error)):
            raise
        raise unavailable(error) from None


def unavailable(error: Exception) -> Unavailable:
    """For the caller; the reason goes to the log."""
    _log.warning("database of tag sets", reason=reason(error))
    state = "is busy with other edits" if "database is locked" in reason(error) else "does not answer"
    return Unavailable(f"the database of tag sets {state}; wait and ask again", retry_after=RETRY_SECONDS)


def passing(error: Exception) -> bool:
    """Whether waiting alone may help."""
    if isinstance(error, (DBAPIError, sqlite3.Error)):
        lost = isinstance(error, DBAPIError) and error.connection_invalidated
        return lost or _sqlstate(error).startswith(_PASSING) or "database is locked" in str(error)
    return True


def reason(error: Exception) -> str:
    """One line."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    # SQLAlchemy puts the class of asyncpg's exception before its text.
    text = str(cause).partition("\n")[0].rpartition(">: ")[2]
    return text or type(cause).__name__


def _outside(error: Exception) -> bool:
    """Whether the cause lies with the database or its files, and not with a statement."""
    if state := _sqlstate(error):
        return state.startswith(_OPERATOR)
    return type(error) in (OperationalError, InterfaceError, DatabaseError)


def _sqlstate(error: Exception) -> str:
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""

"""Which database: its URL from the settings, checked. No text of an error holds a password."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from common.errors import OperatorError

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
OPTIONS = ("host", "port", "ssl", "prepared_statement_cache_size")
"""After the '?' of a PostgreSQL URL: ``host`` for the folder of a Unix socket, ``ssl=require``, a cache size of 0
behind PgBouncer."""
SETTING = "KITHARA_DATABASE or --database"
REMEDY = f"set {SETTING} to {SQLITE}:///FILE or {POSTGRESQL}://USER:PASSWORD@HOST/NAME"


def default_url(env: Mapping[str, str]) -> str:
    """The file of whoever names no database: ``$XDG_DATA_HOME/kithara/tag-sets.sqlite3``."""
    data = Path(env.get("XDG_DATA_HOME", ""))
    # XDG Base Directory Specification: a relative path is to be ignored; ~/.local/share stands for none.
    if not data.is_absolute():
        data = (Path(env["HOME"]) if env.get("HOME") else Path.home()) / ".local" / "share"
    file = data / "kithara" / "tag-sets.sqlite3"
    return URL.create(SQLITE, database=str(file)).render_as_string()


def parse(text: str) -> URL:
    """Raises OperatorError for what is no URL of the two databases."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise OperatorError(f"the database's URL cannot be read; {REMEDY}") from None
    if url.drivername not in (SQLITE, POSTGRESQL):
        raise OperatorError(f"a database {url.drivername!r} is not taken; {REMEDY}")
    if not url.database:
        raise OperatorError(f"the database's URL names no file and no database; {REMEDY}")
    taken = () if url.drivername == SQLITE else OPTIONS
    if wrong := sorted(set(url.query) - set(taken)):
        raise OperatorError(f"the database's URL has the option {wrong[0]!r}; taken: {', '.join(taken) or 'none'}")
    if url.drivername == SQLITE:
        _check_file(url)
    return url


def described(url: URL) -> str:
    """For messages: without user, password and options."""
    if url.drivername == SQLITE:
        return f"the file {url.database}"
    host, port = url.host or url.query.get("host", "localhost"), url.port or url.query.get("port", 5432)
    return f"the PostgreSQL database {url.database!r} at {host}:{port}"


def _check_file(url: URL) -> None:
    if url.host or url.username or url.password or url.port:
        raise OperatorError(f"the database's URL names a host, but SQLite has none (three slashes); {REMEDY}")
    # In memory, tag sets would be lost with the process, and each connection would see others.
    if url.database == ":memory:":
        raise OperatorError(f"tag sets are not kept in memory; {REMEDY}")

"""The tables are those that the migrations make, and a database that another Kithara has moved on is left alone."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from common.errors import OperatorError, Unavailable
from music_fewshot.tag_sets.store import Store, engine, schema
from music_fewshot.tag_sets.store.address import parse
from music_fewshot.tag_sets.store.engine import create_engine
from music_fewshot.tag_sets.store.revisions import REVISIONS, VERSION_TABLE
from music_fewshot.tag_sets.store.tables import Base


async def execute(url: str, *statements: str) -> None:
    """Past the store."""
    engine = create_engine(parse(url), pooled=False)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


def test_the_known_revisions_are_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "music_fewshot.tag_sets.store:migrations")
    walked = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(walked)) == REVISIONS


async def test_the_migrations_make_the_declared_tables(url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        return compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)

    async with Store(url):
        pass
    engine = create_engine(parse(url), pooled=False)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        await connection.rollback()
        # The comparison sees a difference where there is one.
        await connection.execute(text("ALTER TABLE tag_set ADD COLUMN extra INTEGER"))
        assert len(await connection.run_sync(differences)) == 1
    await engine.dispose()


async def test_a_database_of_a_newer_kithara_is_left_alone(url: str) -> None:
    async with Store(url):
        pass
    await execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(OperatorError, match=r"newer Kithara \(its tables are at '9999'.*install that one, or name"):
        async with Store(url):
            pass
    await execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '{REVISIONS[-1]}'")
    async with Store(url) as store:
        assert await store.page(1) == []


async def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    # In the way of the last table: the three before it are undone.
    await execute(url, "CREATE TABLE tag_set_edit (x INTEGER)")
    for _ in range(2):
        with pytest.raises(OperatorError, match=r"cannot be used: .*tag_set_edit.* already exists"):
            async with Store(url):
                pass
    await execute(url, "DROP TABLE tag_set_edit")
    async with Store(url) as store:
        assert await store.page(1) == []


async def test_databases_are_prepared_side_by_side_in_one_process(new_url: Callable[[], str]) -> None:
    stores = [Store(new_url()) for _ in range(3)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    assert await asyncio.gather(*(store.page(1) for store in stores)) == [[]] * 3
    await asyncio.gather(*(store.__aexit__() for store in stores))


def test_a_start_with_the_newest_tables_migrates_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schema.prepare(parse(url))
    monkeypatch.setattr(schema, "_migrate", None)
    schema.prepare(parse(url))


def test_a_lock_on_the_file_while_it_is_made_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "sets.sqlite3"
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.3, lambda: holder.execute("COMMIT")).start()
    schema.prepare(parse(f"sqlite+aiosqlite:///{file}"))
    holder.close()
    assert "tag_set" in {row[0] for row in sqlite3.connect(file).execute("SELECT name FROM sqlite_master")}


def test_a_lock_that_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.1)
    file = tmp_path / "sets.sqlite3"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="busy with other edits; wait"):
        schema.prepare(parse(f"sqlite+aiosqlite:///{file}"))
    holder.close()


def test_a_start_with_the_newest_tables_imports_no_alembic(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'sets.sqlite3'}"
    schema.prepare(parse(url))
    code = """
import asyncio, sys
from music_fewshot.tag_sets.store import Store

async def main() -> None:
    async with Store(sys.argv[1]) as store:
        await store.page(1)

asyncio.run(main())
print([name for name in ("alembic", "asyncpg", "torch") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

"""Databases that are away, locked, broken or out of reach: who must act is told, and nothing needs a restart."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from common.errors import KitharaError, OperatorError, Unavailable
from music_fewshot.tag_sets.content import Content, Item
from music_fewshot.tag_sets.store import Store, engine, readiness
from music_fewshot.tag_sets.store.address import parse

MakeItem = Callable[..., Item]
MakeContent = Callable[..., Content]


@pytest.fixture(autouse=True)
def _plain_logs() -> None:
    structlog.reset_defaults()


@pytest.fixture
async def stopped(cluster: Any) -> AsyncIterator[Callable[[], None]]:
    """Stops PostgreSQL; it runs again afterwards, whatever happens."""
    down = False

    def stop() -> None:
        nonlocal down
        cluster.stop()
        down = True

    yield stop
    if down:
        cluster.start()


async def failure(work: Any) -> str:
    with pytest.raises(Unavailable) as caught:
        await work
    assert caught.value.retry_after
    assert caught.value.__cause__ is None
    return str(caught.value)


async def test_postgresql_may_go_and_come_back(cluster: Any, item: MakeItem, content: MakeContent) -> None:
    async with Store(cluster.url()) as store:
        made = await store.create(content(item(1, "a")), "create", "")
        await asyncio.gather(*(store.version(made.id) for _ in range(8)))  # connections to break
        cluster.stop()
        try:
            with capture_logs() as logs:
                for ask in (
                    store.version(made.id),
                    store.get(made.id),
                    store.page(1),
                    store.edits(made.id),
                    store.create(content(), "create", ""),
                    store.edit(made.id, 1, lambda c: c, "update", ""),
                    store.delete(made.id, 1),
                ):
                    said = await failure(ask)
                    assert said == "the database of tag sets does not answer; wait and ask again"
            assert {log["event"] for log in logs} == {"database of tag sets"}
        finally:
            cluster.start()
        assert await asyncio.gather(*(store.version(made.id) for _ in range(8))) == [1] * 8
        assert (await store.edit(made.id, 1, lambda c: c, "update", "")).version == 2


async def test_postgresql_may_go_in_the_middle_of_an_edit(
    cluster: Any, stopped: Callable[[], None], item: MakeItem, content: MakeContent
) -> None:
    def change(content: Content) -> Content:
        stopped()
        return content._replace(name="half")

    async with Store(cluster.url()) as store:
        made = await store.create(content(item(1, "a")), "create", "")
        await failure(store.edit(made.id, 1, change, "update", ""))
        cluster.start()
        read = await store.get(made.id)
        assert (read.version, read.content.name) == (1, "name")
        cluster.stop()  # the fixture starts it


async def test_a_service_that_starts_before_postgresql_serves_once_that_is_there(
    cluster: Any, content: MakeContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = cluster.url()
    monkeypatch.setattr(readiness, "RETRY_SECONDS", 0.05)
    cluster.stop()
    try:
        store = Store(url)
        await store.__aenter__()
        assert "does not answer" in await failure(store.page(1))
    finally:
        cluster.start()
    await asyncio.sleep(0.1)
    made = await asyncio.gather(*(store.create(content(), "create", "") for _ in range(3)))
    assert len(await store.page(9)) == len(made)
    await store.__aexit__()


async def test_requests_do_not_all_wait_for_a_database_that_has_just_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def prepare(_: object) -> None:
        nonlocal tries
        tries += 1
        raise Unavailable("not yet")

    monkeypatch.setattr(readiness, "prepare", prepare)
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'f'}") as store:
        assert {await failure(store.page(1)) for _ in range(20)} == {"not yet"}
    assert tries == 1


async def test_what_an_operator_must_do_is_logged_where_it_is_found_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[KitharaError] = [Unavailable("not yet"), OperatorError("install the newer one")]

    def prepare(_: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(readiness, "prepare", prepare)
    monkeypatch.setattr(readiness, "RETRY_SECONDS", 0.0)
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'f'}") as store:
        with capture_logs() as logs, pytest.raises(Unavailable, match="tell the operator"):
            await store.page(1)
    assert [(log["log_level"], log["reason"]) for log in logs] == [("error", "install the newer one")]


@pytest.mark.parametrize("user", ["postgres", "nobody"])
async def test_a_wrong_password_is_for_the_operator_and_is_not_told(cluster: Any, user: str) -> None:
    url = f"postgresql+asyncpg://{user}:secret@127.0.0.1:{cluster.port}/postgres"
    with capture_logs() as logs, pytest.raises(OperatorError, match="password authentication failed") as caught:
        async with Store(url):
            pass
    assert "set KITHARA_DATABASE or --database" in str(caught.value)
    assert "secret" not in f"{caught.value}{logs}{caught.value.__cause__}"


async def test_a_missing_database_is_for_the_operator(cluster: Any) -> None:
    url = f"postgresql+asyncpg://postgres:correct-horse@127.0.0.1:{cluster.port}/absent"
    with pytest.raises(OperatorError, match='database "absent" does not exist') as caught:
        async with Store(url):
            pass
    assert "correct-horse" not in str(caught.value)


async def test_a_user_who_may_not_make_tables_is_for_the_operator(cluster: Any) -> None:
    url = cluster.url()
    admin = engine.create_engine(parse(url), pooled=False)
    async with admin.begin() as connection:
        await connection.exec_driver_sql("CREATE ROLE reader LOGIN")
    await admin.dispose()
    with pytest.raises(OperatorError, match="permission denied"):
        async with Store(url.replace("postgres@", "reader@")):
            pass


async def test_an_unreachable_server_is_told_without_the_password() -> None:
    # Port 1 of this machine: nothing listens there.
    async with Store("postgresql+asyncpg://user:secret@127.0.0.1:1/name") as store:
        with capture_logs() as logs:
            said = await failure(store.page(1))
    assert "secret" not in f"{said}{logs}"


async def test_a_locked_file_is_told_and_then_served_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: MakeContent
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    file = tmp_path / "sets.sqlite3"
    async with Store(f"sqlite+aiosqlite:///{file}") as store:
        made = await store.create(content(), "create", "")
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        said = await failure(store.edit(made.id, 1, lambda c: c, "update", ""))
        assert said == "the database of tag sets is busy with other edits; wait and ask again"
        assert await store.version(made.id) == 1  # readers go on
        other.execute("COMMIT")
        other.close()
        assert (await store.edit(made.id, 1, lambda c: c, "update", "")).version == 2


async def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"Not a directory.*writable, or set KITHARA_DATABASE or --database"):
        async with Store(f"sqlite+aiosqlite:///{tmp_path}/file/below/sets.sqlite3"):
            pass


@pytest.mark.parametrize("kind", ["a folder", "another file"])
async def test_what_is_no_database_names_the_setting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sets"
    path.mkdir() if kind == "a folder" else path.write_bytes(b"no database " * 100)
    said = "unable to open database file" if kind == "a folder" else "file is not a database"
    with pytest.raises(OperatorError, match=f"the file .*sets cannot be used: {said}; .*KITHARA_DATABASE"):
        async with Store(f"sqlite+aiosqlite:///{path}"):
            pass


async def test_the_parent_folder_is_made(tmp_path: Path) -> None:
    async with Store(f"sqlite+aiosqlite:///{tmp_path}/a/b/sets.sqlite3") as store:
        assert await store.page(1) == []
    assert (tmp_path / "a/b/sets.sqlite3").is_file()

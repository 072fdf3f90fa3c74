"""Which URLs are taken, and what is said of the others."""

from pathlib import Path

import pytest

from common.errors import OperatorError
from music_fewshot.tag_sets.store import Store, default_url
from music_fewshot.tag_sets.store.address import described, parse


@pytest.mark.parametrize(
    ("env", "file"),
    [
        ({"XDG_DATA_HOME": "/data", "HOME": "/home/a"}, "/data/kithara/tag-sets.sqlite3"),
        ({"XDG_DATA_HOME": "", "HOME": "/home/a"}, "/home/a/.local/share/kithara/tag-sets.sqlite3"),
        ({"XDG_DATA_HOME": "relative", "HOME": "/home/a"}, "/home/a/.local/share/kithara/tag-sets.sqlite3"),
        ({"HOME": "/home/a b?c%20#d"}, "/home/a b?c%20#d/.local/share/kithara/tag-sets.sqlite3"),
    ],
)
def test_the_default_is_a_file_of_the_users_data(env: dict[str, str], file: str) -> None:
    assert parse(default_url(env)).database == file


def test_without_a_home_the_systems_own_record_of_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/from/passwd"))
    assert described(parse(default_url({}))).startswith("the file /home/from/passwd/.local/share/")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "cannot be read"),
        ("secret", "cannot be read"),
        ("postgresql+asyncpg://u:secret@h:port/n", "cannot be read"),
        ("postgresql://u:secret@h/n", "a database 'postgresql' is not taken"),
        ("sqlite:////f", "a database 'sqlite' is not taken"),
        ("mysql+aiomysql://u:secret@h/n", "a database 'mysql\\+aiomysql' is not taken"),
        ("postgresql+asyncpg://u:secret@h", "names no file and no database"),
        ("postgresql+asyncpg://u:secret@h/", "names no file and no database"),
        ("postgresql+asyncpg://u:p@h/n?sslmode=secret", "has the option 'sslmode'; taken: host, port, ssl"),
        ("sqlite+aiosqlite://", "names no file and no database"),
        ("sqlite+aiosqlite:///:memory:", "not kept in memory"),
        ("sqlite+aiosqlite:///f?timeout=secret", "has the option 'timeout'; taken: none"),
        ("sqlite+aiosqlite://u:secret@h/f", "names a host"),
    ],
)
def test_other_urls_are_refused_with_the_remedy_and_without_the_password(url: str, said: str) -> None:
    with pytest.raises(OperatorError, match=said) as caught:
        Store(url)
    assert "secret" not in str(caught.value)
    if "option" not in said:
        assert str(caught.value).endswith(
            "set KITHARA_DATABASE or --database to "
            "sqlite+aiosqlite:///FILE or postgresql+asyncpg://USER:PASSWORD@HOST/NAME"
        )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite+aiosqlite:////a/b.db", "the file /a/b.db"),
        ("sqlite+aiosqlite:///b.db", "the file b.db"),
        ("postgresql+asyncpg://u:secret@db.example/n", "the PostgreSQL database 'n' at db.example:5432"),
        ("postgresql+asyncpg://u:secret@h:1/n?ssl=require", "the PostgreSQL database 'n' at h:1"),
        ("postgresql+asyncpg://u:secret@/n?host=/run/pg&port=7", "the PostgreSQL database 'n' at /run/pg:7"),
    ],
)
def test_a_database_is_told_without_its_password(url: str, told: str) -> None:
    assert described(parse(url)) == told

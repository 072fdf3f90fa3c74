"""Where a setting comes from, and what is said when it is wrong."""

from pathlib import Path

import pytest

from common.errors import OperatorError
from common.settings import Settings, load


def test_default_bind_is_local() -> None:
    assert Settings().host == "127.0.0.1"


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "kithara.toml"
    file.write_text('host = "10.0.0.1"\nport = 1000\nin_flight = 3\n')
    settings = load({"port": 3000}, {"KITHARA_PORT": "2000", "KITHARA_IN_FLIGHT": "5", "HOME": "/"}, file)
    assert (settings.host, settings.port, settings.in_flight) == ("10.0.0.1", 3000, 5)


def test_environment_is_coerced() -> None:
    settings = load({}, {"KITHARA_ACCESS_LOG": "false", "KITHARA_RATE_LIMIT": "2.5", "KITHARA_DATA": "/data"})
    assert settings.access_log is False
    assert settings.rate_limit == 2.5


@pytest.mark.parametrize(
    ("flags", "env", "toml", "said"),
    [
        ({"port": 70000}, {}, None, "--port"),
        ({}, {"KITHARA_PORT": "x"}, None, "KITHARA_PORT"),
        ({}, {}, "drain_seconds = -1", "drain_seconds in"),
        ({}, {"KITHARA_PROT": "1"}, None, "KITHARA_PROT"),
        ({"prot": 1}, {}, None, "--prot"),
        ({}, {}, "prot = 1", "prot in"),
        ({"backend": "remote"}, {}, None, "HOST:PORT"),
        ({"domain": "music"}, {}, None, "--domain"),
    ],
)
def test_what_is_wrong_is_named(flags: dict, env: dict, toml: str | None, said: str, tmp_path: Path) -> None:
    file = None
    if toml is not None:
        file = tmp_path / "kithara.toml"
        file.write_text(toml)
    with pytest.raises(OperatorError) as caught:
        load(flags, env, file)
    assert said in caught.value.detail
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("content", [None, b"port = = 1", b"\xff\xfe"])
def test_unreadable_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "kithara.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OperatorError, match=r"kithara\.toml"):
        load({}, {}, file)

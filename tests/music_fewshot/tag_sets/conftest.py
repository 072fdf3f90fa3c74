"""Both databases: SQLite in a file, and a private PostgreSQL that the session starts."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

PASSWORD = "correct-horse"


def _program(name: str) -> str:
    """On the path, or where Debian keeps it."""
    found = shutil.which(name) or next(
        (str(p) for p in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip(f"no {name}: install Debian's package `postgresql`")
    return found


class Cluster:
    """A PostgreSQL of its own: on a Unix socket without a password, on TCP with one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._user: list[str] = []
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            shutil.chown(folder, "postgres")
            self._user = ["runuser", "-u", "postgres", "--"]
        word = folder / "word"
        word.write_text(PASSWORD)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync",
                  "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={word}")  # fmt: skip

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """And wait until it answers."""
        options = f"-k {self.folder} -p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """As when the machine goes away: no client is told."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def url(self) -> str:
        """Of a new, empty database, over the socket."""
        name = f"t{uuid4().hex}"
        self._run("createdb", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", name)
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}&port={self.port}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, _program(program), *arguments]
        # Not over pipes: the server keeps what pg_ctl was started with.
        with (self.folder / "commands.log").open("ab") as log:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=False)
        assert done.returncode == 0, (self.folder / "commands.log").read_text()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Running; a test that stops it starts it again."""
    # Short: the path of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="kpg") as folder:
        cluster = Cluster(Path(folder))
        cluster.start()
        yield cluster
        cluster.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of empty databases, of each kind in turn."""
    if request.param == "postgresql":
        return request.getfixturevalue("cluster").url
    return lambda: f"sqlite+aiosqlite:///{tmp_path / uuid4().hex}.sqlite3"


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    """Of an empty database, of each kind in turn."""
    return new_url()

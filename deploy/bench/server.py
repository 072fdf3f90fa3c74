"""The server that is measured: the real suite on the bench's models, on one core, with one empty route beside it.

KITHARA_MODELS=DIR KITHARA_PORT=8123 KITHARA_THREADS=1 python -m deploy.bench.server uvicorn 0
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from litestar import Router, get

from common.errors import OperatorError
from common.http.app import Domain, create_app
from common.http.server import run
from common.registry.store import Repository
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.settings import Settings, load
from deploy.bench.answers import get_request
from deploy.bench.client import HOST, ask

HttpServer = Literal["uvicorn", "granian"]
START_SECONDS, STOP_SECONDS = 30.0, 10.0


class Counters(NamedTuple):
    """What an engine has done since it was opened."""

    batches: int
    rows: int
    cancelled: int


def routes(models: Models) -> Router:
    """What the bench adds to the suite."""

    @get("/empty", status_code=204, sync_to_thread=False)
    def empty() -> None:
        """What the shell and the HTTP server cost alone."""

    @get("/stats", sync_to_thread=False)
    def stats() -> dict[str, Counters]:
        """The engines' counters by model."""
        return {
            label.partition("@")[0]: Counters(s.batches, s.rows, s.cancelled) for label, s in models.stats().items()
        }

    return Router("/", route_handlers=[empty, stats])


def build(settings: Settings) -> Any:
    """The suite without any domain, on the repository that the settings name."""
    if settings.models is None:
        raise OperatorError("KITHARA_MODELS is not set: name the bench's model repository")
    models = Models(Repository(Path(settings.models)), LocalBackend(settings.threads, settings.device))
    return create_app("bench", [Domain(routes(models))], models, settings)


def app() -> Any:
    """For granian's workers: the same application, its settings from the environment."""
    return build(load({}, os.environ))


def main(http_server: HttpServer, core: int) -> None:
    """Serve on that core until SIGTERM."""
    os.sched_setaffinity(0, {core})
    settings = load({}, os.environ)
    if http_server == "uvicorn":
        run(build(settings), settings)
        return
    from granian.constants import Interfaces, Loops
    from granian.server import Server

    # One worker and one blocking thread: the same single core and single loop as uvicorn's.
    Server(
        "deploy.bench.server:app",
        settings.host,
        settings.port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=1,
        loop=Loops.uvloop,
        log_enabled=False,
    ).serve()


class Running(NamedTuple):
    """A ready server."""

    process: subprocess.Popen[bytes]
    port: int


@contextlib.contextmanager
def running(models: Path, core: int, http_server: HttpServer = "uvicorn", **settings: str) -> Iterator[Running]:
    """The server on that repository and core with these settings (as ``in_flight="64"``); killed when the block ends.

    Raises OperatorError with the end of its log when it does not become ready.
    """
    port = free_port()
    given = {"models": str(models), "port": str(port), "host": HOST, "threads": "1", **settings}
    environment = {**without_settings(), **{f"KITHARA_{name.upper()}": value for name, value in given.items()}}
    command = [sys.executable, "-m", "deploy.bench.server", http_server, str(core)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_ready(process, port, log)
            yield Running(process, port)
        finally:
            stop(process)


def wait_ready(process: subprocess.Popen[bytes], port: int, log: Any) -> None:
    """Return when ``/readyz`` says 200. Raises OperatorError with the end of the log when that does not happen."""
    until = time.monotonic() + START_SECONDS
    while not _ready(port):
        if process.poll() is not None or time.monotonic() > until:
            log.seek(0)
            raise OperatorError(
                f"the bench's server did not become ready:\n{log.read()[-2000:].decode(errors='replace')}"
            )
        time.sleep(0.01)


def _ready(port: int) -> bool:
    try:
        return ask(port, get_request("/readyz"), timeout=2.0).status == 200
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return one.getsockname()[1]


def without_settings() -> dict[str, str]:
    """This environment without the caller's own settings of the suite."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KITHARA_")}


if __name__ == "__main__":
    chosen = next((known for known in get_args(HttpServer) if known == sys.argv[1]), None)
    if chosen is None:
        raise SystemExit(f"HTTP server {sys.argv[1]!r}; name one of {', '.join(get_args(HttpServer))}")
    main(chosen, int(sys.argv[2]))

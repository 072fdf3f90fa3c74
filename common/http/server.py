"""Run the application on uvicorn, and end it without losing a request."""

import asyncio
import gc
import signal
import socket
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn

from common import logging
from common.errors import OperatorError
from common.http.agenda import Agenda
from common.http.protocol import Protocol
from common.http.shell import App
from common.settings import Settings

_log: Any = structlog.get_logger("kithara.server")


GARBAGE_OBJECTS = 5_000
"""New containers after which the garbage collector looks at them."""


class Server(uvicorn.Server):
    """uvicorn that says it is going down before it stops to accept.

    On the first signal ``/readyz`` turns 503 and answers ask for the connection to be closed, so that balancers and
    clients go elsewhere while everything is still answered; then nothing new is accepted and the rest is drained. A
    second signal ends at once.
    """

    def __init__(self, config: uvicorn.Config, app: App, unready_seconds: float) -> None:
        super().__init__(config)
        self._app, self._unready_seconds = app, unready_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the models, then listen."""
        await super().startup(sockets)
        # What lives now lives on: the collector need not look at it again. And hardly anything of a request is part
        # of a cycle, so it need not look every few requests either.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Signal handler."""
        if self._app.gate.leaving:
            self.force_exit = self.should_exit = True
            return
        self._app.gate.leaving = True
        _log.info("going down", signal=signal.Signals(sig).name, unready_seconds=self._unready_seconds)
        # A handler of signal.signal runs between any two instructions of the loop's thread.
        asyncio.get_running_loop().call_soon_threadsafe(self._stop_later)

    def _stop_later(self) -> None:
        asyncio.get_running_loop().call_later(self._unready_seconds, self._stop)

    def _stop(self) -> None:
        self._app.gate.closed = self.should_exit = True


def config(app: App, settings: Settings) -> uvicorn.Config:
    """uvicorn's configuration for these settings."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=partial(Protocol, app=app, agenda=Agenda()),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies or None,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )


def run(app: App, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises OperatorError when the address cannot be bound."""
    logging.configure(settings.log_level)
    server = Server(config(app, settings), app, settings.unready_seconds)
    try:
        server.run()
    except SystemExit:  # uvicorn's way to say that the start failed; the log has said why
        raise OperatorError(
            f"cannot serve on {settings.host}:{settings.port}; the log says why: take another --port, or mend --models"
        ) from None

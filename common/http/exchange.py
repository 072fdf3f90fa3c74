"""What the suite knows of one request while it is answered; made by the shell, read by handlers."""

import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from common.errors import Invalid
from common.runtime.base import Call
from contracts.problem import FieldError

KEY = "kithara.exchange"
WHOLE = "kithara.whole"
"""Of a scope: writes a whole answer at once, see ``Cycle.whole``; absent where the server is another."""
BODY = "kithara.body"
"""Of a scope: the whole body, where it had come before the answer was begun and nobody need wait for it."""
REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
"""Ids of callers that are taken over: nothing that could forge a log line or a header."""

_TIMEOUT_RULE = "must be a whole number of milliseconds, from 1 to 999999999"
_BAD_TIMEOUT = Invalid(
    f"header.x-timeout-ms: {_TIMEOUT_RULE}", errors=(FieldError(field="header.x-timeout-ms", message=_TIMEOUT_RULE),)
)
_counter = itertools.count(1)
_process = secrets.token_hex(6)


def new_request_id() -> str:
    """Unique over processes and restarts: 48 random bits per process, then a count."""
    return f"{_process}-{next(_counter):x}"


class Cancellable(Protocol):
    """A task, or what does its work."""

    def cancel(self) -> object: ...


class Exchange:
    """One request and the facts of its answer."""

    __slots__ = (
        "_head",
        "_send",
        "_whole",
        "call",
        "closing",
        "fault",
        "headers",
        "left",
        "route",
        "scope",
        "started",
        "status",
        "task",
    )

    def __init__(self, scope: Any, send: Any, longest: float) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        accepted = given is not None and REQUEST_ID_PATTERN.fullmatch(given) is not None
        self.started = time.monotonic()
        self.fault: Invalid | None = None
        """What is wrong with the head of the request."""
        timeout = self.headers.get(b"x-timeout-ms")
        if timeout is not None:
            if timeout.isdigit() and 0 < len(timeout) < 10 and int(timeout):
                longest = min(longest, int(timeout) / 1000)
            else:
                self.fault = _BAD_TIMEOUT
        self.call = Call(given.decode() if accepted and given else new_request_id(), self.started + longest)
        self.scope = scope
        self.route: str | None = None
        """Template of the path, where the handler is not Litestar's."""
        self.status = 0
        """Of the answer; 0 until it starts."""
        self.left = False
        """The caller closed the connection before the answer was complete."""
        self.closing = False
        """Ask the caller to open a new connection for the next request: this process is going down."""
        self.task: Cancellable | None = None
        self._send = send
        self._whole: Callable[[int, list[tuple[bytes, bytes]], bytes], bool] | None = scope.pop(WHOLE, None)
        self._head = scope["method"] == "HEAD"

    async def send(self, message: Any) -> None:
        """ASGI ``send`` that adds the request id and the stage times to the head of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._own_headers()]
        elif self._head:
            message = {**message, "body": b""}
        await self._send(message)

    async def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer; its length is added. In one step where the server offers that: two messages cost more."""
        sized = [*headers, (b"content-length", b"%d" % len(body))]
        if self._whole is not None and not self._head and self._whole(status, [*sized, *self._own_headers()], body):
            self.status = status
            return
        await self.send({"type": "http.response.start", "status": status, "headers": sized})
        await self.send({"type": "http.response.body", "body": body})

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        t = self.call.timing
        timing = (
            f"decode;dur={t.decode * 1e3:.3f},queue;dur={t.queue * 1e3:.3f},"
            f"infer;dur={t.infer * 1e3:.3f},encode;dur={t.encode * 1e3:.3f}"
        )
        headers = [(b"x-request-id", self.call.request_id.encode()), (b"server-timing", timing.encode())]
        if self.closing:
            headers.append((b"connection", b"close"))
        return headers

    def allow(self, longest: float) -> None:
        """Give the answer ``longest`` seconds in place of the settings' deadline; a caller may still ask for less."""
        asked = self.headers.get(b"x-timeout-ms")
        self.call.deadline = self.started + (min(longest, int(asked) / 1000) if asked else longest)

    def leave(self) -> None:
        """The caller is gone: give the work up wherever it stands."""
        self.left = True
        if self.task is not None:
            self.task.cancel()


def exchange(connection: Any) -> Exchange:
    """The exchange of a Litestar request or an ASGI scope."""
    scope: Mapping[str, Any] = getattr(connection, "scope", connection)
    return scope[KEY]

"""uvicorn's HTTP protocol with two additions that no ASGI application can make itself.

Refuse early: at overload the 503 is written as soon as the head of a request is parsed, before a task exists, so that
refusals leave the core to the requests that were admitted. Cancel: when the connection closes, the task that computes
the answer is cancelled at once, at no cost to requests whose callers stay.
"""

import asyncio
from functools import partial
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from common.http.admission import BUSY, Gate
from common.http.agenda import Agenda, eagerly
from common.http.cycle import Cycle
from common.http.exchange import BODY, KEY, REQUEST_ID_PATTERN, new_request_id
from common.http.problems import is_oip
from common.http.shell import QUIET, App
from contracts.oip import OipError
from contracts.problem import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_PREFIX, Problem

_QUIET_URLS = frozenset(path.encode() for path in QUIET)
_encode = msgspec.json.Encoder().encode


class _Refused:
    """Stands for the request-response cycle of a request that got none: over, whatever still arrives."""

    response_complete = True
    keep_alive = False
    message_event = asyncio.Event()


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, app: App, agenda: Agenda, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._agenda = agenda
        self._gate: Gate = app.gate
        self._telemetry = app.telemetry

    def on_headers_complete(self) -> None:
        """Refuse, or go on as uvicorn does."""
        if self._gate.taken < self._gate.limit or not self._refusable():
            super().on_headers_complete()
            return
        self._gate.refused[BUSY.slug] += 1
        self._telemetry.flush_soon()
        self.cycle = _Refused()  # type: ignore[assignment]
        keep = self.parser.should_keep_alive() and not self._gate.leaving  # type: ignore[union-attr]
        self.transport.write(refusal(self.url, self.headers, keep))
        if keep:
            self.on_response_complete()
        else:
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        ours = Cycle.of(cycle, self._gate)
        self._gate.taken += 1
        if is_oip(cycle.scope["path"]):
            self._agenda.add(partial(self._begin, ours, app))
        else:
            super()._start_asgi_task(ours, app)

    def _begin(self, cycle: Cycle, app: Any) -> None:
        """At once when the body has come; a task waits for what is missing, and tells a caller that has left."""
        if cycle.more_body or cycle.disconnected:
            super()._start_asgi_task(cycle, app)
            return
        cycle.scope[BODY] = bytes(cycle.body)  # type: ignore[typeddict-unknown-key]
        task = eagerly(cycle.run_asgi(app))
        if task is not None:
            cycle.scope[KEY].task = task  # type: ignore[typeddict-item]
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _refusable(self) -> bool:
        """Plain requests outside of health checks, on a connection that answers no other request."""
        return (
            self.url not in _QUIET_URLS
            and (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.parser.should_upgrade()  # type: ignore[union-attr]
            and self.parser.get_method() != b"HEAD"  # type: ignore[union-attr]
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone: stop computing for it."""
        super().connection_lost(exc)
        if self.cycle is not None and not self.cycle.response_complete and (exchange := self.cycle.scope.get(KEY)):
            exchange.leave()


def refusal(url: bytes, headers: list[tuple[bytes, bytes]], keep: bool) -> bytes:
    """A whole HTTP response: the same problem that the shell answers when it is full."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    request_id = given.decode() if REQUEST_ID_PATTERN.fullmatch(given) else new_request_id()
    path = url.partition(b"?")[0].decode("ascii", "replace")
    if is_oip(path):
        media, body = "application/json", _encode(OipError(error=BUSY.detail))
    else:
        problem = Problem(
            type=PROBLEM_TYPE_PREFIX + BUSY.slug,
            title=BUSY.title,
            status=BUSY.status,
            detail=BUSY.detail,
            instance=path,
            request_id=request_id,
        )
        media, body = PROBLEM_MEDIA_TYPE, _encode(problem)
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: 1\r\nx-request-id: {request_id}\r\n{'' if keep else 'connection: close' + chr(13) + chr(10)}\r\n"
    )
    return head.encode() + body

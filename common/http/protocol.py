"""uvicorn's HTTP protocol with three additions that no ASGI application can make itself.

Refuse early: at overload the 503 is written as soon as the head of a request is parsed, for a plain inference even
before that, so that refusals leave the core to the requests that were admitted. Begin without a task: see ``agenda``.
Cancel: when the connection closes, what computes the answer is cancelled at once, at no cost to callers who stay.
"""

import asyncio
import select
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from common.http.admission import BUSY, Gate
from common.http.agenda import Agenda, eagerly
from common.http.cycle import Cycle
from common.http.exchange import BODY, KEY
from common.http.oip import is_inference
from common.http.refusals import plain_inference, plain_refusal, refusal
from common.http.shell import QUIET, App

_HANGUP = getattr(select, "POLLRDHUP", 0)
"""Linux tells that the other side has closed before what it sent is read to the end."""
_QUIET_URLS = frozenset(path.encode() for path in QUIET)


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
        self._parsing = False
        """Part of a request has come, but not all of it."""
        self._refused_at = 0.0
        self._hangups: select.poll | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Watch for the caller's leaving."""
        super().connection_made(transport)
        if _HANGUP:
            self._hangups = select.poll()
            self._hangups.register(transport.get_extra_info("socket").fileno(), _HANGUP)

    def data_received(self, data: bytes) -> None:
        """Refuse without parsing what is plainly one inference, or go on as uvicorn does."""
        if (
            self._gate.taken < self._gate.limit
            or self._gate.leaving
            or self._parsing
            or self._answering()
            or not plain_inference(data)
        ):
            super().data_received(data)
            return
        self._count_refusal()
        # The timer of the idle connection is not touched, which would cost as much again; see its handler.
        self._refused_at = self.loop.time()
        self.transport.write(plain_refusal())

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle all the time, refusals included."""
        left = self._refused_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        """See ``_parsing``."""
        self._parsing = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """See ``_parsing``."""
        self._parsing = False
        super().on_message_complete()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _count_refusal(self) -> None:
        self._gate.refused[BUSY.slug] += 1
        self._telemetry.flush_soon()

    def on_headers_complete(self) -> None:
        """Refuse, or go on as uvicorn does."""
        if self._gate.taken < self._gate.limit or not self._refusable():
            super().on_headers_complete()
            return
        self._count_refusal()
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
        if is_inference(cycle.scope["path"]):
            self._agenda.add(partial(self._begin, ours, app))
        else:
            super()._start_asgi_task(ours, app)

    def _begin(self, cycle: Cycle, app: Any) -> None:
        """At once when the body has come and the caller is there; otherwise a task waits, or finds nobody to answer."""
        cycle.disconnected |= self._left()
        if cycle.more_body or cycle.disconnected:
            super()._start_asgi_task(cycle, app)
            return
        cycle.scope[BODY] = bytes(cycle.body)  # type: ignore[typeddict-unknown-key]
        task = eagerly(cycle.run_asgi(app))
        if task is not None:
            cycle.scope[KEY].task = task  # type: ignore[typeddict-item]
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def _left(self) -> bool:
        """The caller has hung up, though its request may have been read before its leaving was."""
        return self.transport.is_closing() or (self._hangups is not None and bool(self._hangups.poll(0)))

    def _refusable(self) -> bool:
        """Plain requests outside of health checks, on a connection that answers no other request."""
        return (
            self.url not in _QUIET_URLS
            and not self._answering()
            and not self.expect_100_continue
            and not self.parser.should_upgrade()  # type: ignore[union-attr]
            and self.parser.get_method() != b"HEAD"  # type: ignore[union-attr]
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone: stop computing for it."""
        super().connection_lost(exc)
        if self._answering() and (exchange := self.cycle.scope.get(KEY)):
            exchange.leave()

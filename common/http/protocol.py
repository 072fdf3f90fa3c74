"""uvicorn's HTTP protocol with three additions that no ASGI application can make itself.

Refuse early: at overload the 503 is written as soon as the head of a request is parsed, for a plain inference even
before that, so that refusals leave the core to the requests that were admitted. Begin without a task: see ``agenda``.
Cancel: when the connection closes, what computes the answer is cancelled at once, at no cost to callers who stay.
"""

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from common.http.admission import BUSY, Gate
from common.http.agenda import Agenda, eagerly
from common.http.cycle import Cycle
from common.http.exchange import BODY, KEY, WHOLE
from common.http.oip import is_inference
from common.http.refusals import plain_inference, plain_refusal, refusal
from common.http.shell import QUIET, App

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
        self._idle_since = 0.0
        self._descriptor = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Watch for the caller's leaving."""
        super().connection_made(transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._agenda.hangups.watch(self._descriptor)

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
        self._idle_since = self.loop.time()
        self.transport.write(plain_refusal())

    def _unset_keepalive_if_required(self) -> None:
        """Leave the timer of the idle connection alone: setting one for each request costs more than parsing it."""

    def on_response_complete(self) -> None:
        """As uvicorn does, but the one timer stays; its handler finds out how long the connection has been idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._set_timer(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle all the time, refusals included."""
        self.timeout_keep_alive_task = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if self._parsing or self._answering():
            return  # the end of the answer sets the timer again
        if left > 0:
            self._set_timer(left)
        else:
            super().timeout_keep_alive_handler()

    def _set_timer(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

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
        cycle.scope[WHOLE] = ours.whole  # type: ignore[typeddict-unknown-key]
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
        steps = eagerly(cycle.run_asgi(app))
        if steps is not None:
            cycle.scope[KEY].task = steps  # type: ignore[typeddict-item]
            self.tasks.add(steps)  # type: ignore[arg-type]
            steps.add_done_callback(self.tasks.discard)  # type: ignore[arg-type]

    def _left(self) -> bool:
        """The caller has hung up, though its request may have been read before its leaving was."""
        return self.transport.is_closing() or self._descriptor in self._agenda.hangups

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
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        if self._answering() and (exchange := self.cycle.scope.get(KEY)):
            exchange.leave()

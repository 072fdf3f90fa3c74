"""The one layer around every handler: request id, log, metrics, limits, admission, deadline, errors.

One plain ASGI callable instead of a stack of middleware, because small models answer in less time than a stack takes.
"""

import asyncio
import time
from typing import Any

from common.errors import CallerLeft
from common.http import problems
from common.http.admission import Gate
from common.http.exchange import BODY, KEY, Exchange
from common.http.oip import OpenInference
from common.http.telemetry import Telemetry
from common.logging import REQUEST_ID

QUIET = frozenset({"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""Asked by machines every few seconds, also when all else is refused: never limited, counted or logged."""
REFUSED = "refused"
"""Route of requests that were not let in, as metrics and logs name it."""


class App:
    """An ASGI application around Litestar and the Open Inference Protocol."""

    def __init__(
        self, app: Any, oip: OpenInference, gate: Gate, telemetry: Telemetry, deadline: float, document: bytes
    ) -> None:
        self.gate, self.telemetry, self.document = gate, telemetry, document
        self._app, self._oip = app, oip
        self._deadline = deadline

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ex = scope[KEY] = Exchange(scope, send, self._deadline)
        REQUEST_ID.set(ex.call.request_id)
        ex.closing = self.gate.leaving
        if scope["method"] == "HEAD":  # handlers answer GET; the exchange drops the body
            ex.scope = {**scope, "method": "GET"}
        try:
            await (self._answer if scope["path"] in QUIET else self._admit)(ex, receive)
        finally:
            # Scope and exchange hold each other: left so, every request were work for the garbage collector, which
            # stops everything for tens of milliseconds when the garbage of an overload has piled up.
            del scope[KEY]

    async def _admit(self, ex: Exchange, receive: Any) -> None:
        client = ex.scope["client"]
        refusal = self.gate.refusal(client[0] if client else "") or ex.fault
        self.gate.in_flight += 1
        try:
            if refusal is None:
                await self._answer(ex, receive)
            else:
                ex.route = REFUSED
                await problems.send(refusal, ex)
        finally:
            self.gate.in_flight -= 1
            self.telemetry.done(ex, time.monotonic())

    async def _answer(self, ex: Exchange, receive: Any) -> None:
        if BODY not in ex.scope:  # else the work began outside of a task, and whoever began it knows how to end it
            ex.task = asyncio.current_task()
        try:
            if problems.is_oip(ex.scope["path"]):
                await self._oip(ex, receive)
            else:
                await self._app(ex.scope, receive, ex.send)
        except asyncio.CancelledError:
            if not ex.left:
                raise
            ex.status = CallerLeft.status
        except CallerLeft as error:
            ex.status = error.status
        except Exception as error:
            if ex.status:  # half an answer is out: only closing the connection tells the caller
                raise
            await problems.send(error, ex)
        finally:
            ex.task = None

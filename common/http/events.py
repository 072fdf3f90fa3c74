"""Server-sent events: each leaves when it happens, silence is filled, and a break in the middle is told as an event.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from litestar import Response

from common.http.exchange import Exchange
from common.http.problems import failure
from contracts._base import Record

EVENT_STREAM = "text/event-stream"
STREAMS = "streams"
"""Key of a route's ``opt``: the Struct behind each event, by the event's name; ``problem`` is said of all."""
HEARTBEAT_SECONDS = 15.0
"""Shorter than what proxies wait for a silent connection."""
HEARTBEAT = b": the answer is being worked on\n\n"
HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]

_log: Any = structlog.get_logger("kithara.http")

Emit = Callable[[str, Record], None]
_encode = msgspec.json.Encoder().encode


def event(name: str, data: Record) -> bytes:
    """One event on the wire: JSON holds no line break."""
    return b"event: " + name.encode() + b"\ndata: " + _encode(data) + b"\n\n"


class EventStream(Response[Any]):
    """What ``work(emit)`` emits, as it emits it.

    The head waits for the first event or heartbeat: what fails before is an ordinary problem with its own status. When
    the caller leaves, the shell cancels the exchange's task, and with it ``work``.
    """

    def __init__(self, work: Callable[[Emit], Awaitable[None]], ex: Exchange) -> None:
        super().__init__(b"", media_type=EVENT_STREAM)
        self._work, self._ex = work, ex

    def to_asgi_response(self, app: Any, request: Any, **_: Any) -> Any:
        """Litestar's hook; the result is an ASGI application."""
        return self._answer

    async def _answer(self, _scope: Any, _receive: Any, send: Any) -> None:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        work = asyncio.ensure_future(self._work(lambda name, data: queue.put_nowait(event(name, data))))
        work.add_done_callback(lambda _: queue.put_nowait(None))
        started = False
        try:
            while (chunk := await _next(queue)) is not None:
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
                    started = True
                await send(_body(chunk))
            work.result()
        except Exception as error:
            if not started:
                raise
            problem = failure(error, self._ex).problem
            _log.warning("stream broken", status=problem.status, reason=problem.detail)
            await send(_body(event("problem", problem)))
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(queue: asyncio.Queue[bytes | None]) -> bytes | None:
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await queue.get()
    except TimeoutError:
        return HEARTBEAT


def _body(chunk: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": chunk, "more_body": True}

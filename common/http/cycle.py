"""uvicorn's request-response cycle, counted by the gate, with an answer that leaves in one system call."""

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from common.http.admission import Gate

_WITHOUT_BODY = (204, 304)


class Cycle(RequestResponseCycle):
    """Holds the head of an answer until its body comes, and writes both at once.

    uvicorn writes the head, then the body: a system call costs more than all the JSON of a short answer. A body in
    parts, an answer to HEAD and one that ends the connection are left to uvicorn.
    """

    gate: Gate
    held: Any
    """The message that starts the answer, until the next one comes."""

    @classmethod
    def of(cls, cycle: RequestResponseCycle, gate: Gate) -> "Cycle":
        """Make a new cycle of uvicorn's one of these."""
        cycle.__class__ = cls
        assert isinstance(cycle, cls)
        cycle.gate, cycle.held = gate, None
        return cycle

    async def run_asgi(self, app: Any) -> None:
        """Answer, and make room for the next request."""
        try:
            await super().run_asgi(app)
        finally:
            self.gate.taken -= 1

    async def send(self, message: Any) -> None:
        """ASGI ``send``."""
        if not self.response_started and message["type"] == "http.response.start" and self.scope["method"] != "HEAD":
            self.response_started, self.waiting_for_100_continue = True, False
            self.held = message
            return
        if (start := self.held) is not None:
            self.held = None
            if not message.get("more_body") and self._write(
                start["status"], start.get("headers", ()), message.get("body", b"")
            ):
                return
            self.response_started = False
            await super().send(start)
        await super().send(message)

    def whole(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write a whole answer, to anything but HEAD; False when nothing was written and ``send`` has to do it."""
        if self.response_started:
            return False
        self.response_started, self.waiting_for_100_continue = True, False
        self.response_started = self._write(status, headers, body)
        return self.response_started

    def _write(self, status: int, given: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Write the answer if it needs nothing else of uvicorn."""
        if self.flow.write_paused or self.disconnected or not self.keep_alive:
            return False
        sized = status in _WITHOUT_BODY
        parts = [STATUS_LINE[status]]
        headers = [*self.default_headers, *given]
        for name, value in headers:
            if name == b"content-length":
                sized = int(value) == len(body)
            elif name in (b"connection", b"transfer-encoding"):
                return False
            parts += (name, b": ", value, b"\r\n")
        head = b"".join(parts)
        # A line break within a header would forge another one: uvicorn searches each, a count finds it as well.
        if not sized or head.count(b"\n") != len(headers) + 1 or head.count(b"\r") != len(headers) + 1:
            return False
        self.transport.write(b"".join((head, b"\r\n", body)))
        self.response_complete = True
        self.message_event.set()
        self.on_response()
        return True

"""HTTP/1.1 without TLS and proxies, for servers of one's own: a call costs a tenth of what it costs through a client
library, and thousands of calls per second are what a local server can be asked."""

import asyncio
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

from contracts.llm import Profile
from llm_studies.llm.wire import PATH, Response, WireError, client_of


class PlainWire:
    """Keeps as many connections as calls were under way at once; each carries one call at a time."""

    def __init__(self, profile: Profile, api_key: str) -> None:
        url = urlsplit(profile.base_url)
        self._host, self._port = url.hostname or "", url.port or 80
        ours = {"Host": url.netloc, "Authorization": f"Bearer {api_key}"}
        library = client_of(profile, api_key).default_headers
        headers = {name: value for name, value in library.items() if isinstance(value, str)} | ours
        lines = (
            f"POST {url.path.rstrip('/')}{PATH} HTTP/1.1",
            *(f"{name}: {value}" for name, value in headers.items()),
        )
        self._head = "\r\n".join(lines).encode()
        self._idle: list[_Connection] = []

    async def post(self, body: bytes, idempotency_key: str | None) -> Response:
        connection = self._idle.pop() if self._idle else await self._connected()
        key = b"\r\nIdempotency-Key: %s" % idempotency_key.encode() if idempotency_key else b""
        try:
            response = await connection.exchange(
                b"%s%s\r\nContent-Length: %d\r\n\r\n%s" % (self._head, key, len(body), body)
            )
        except BaseException:
            connection.abort()  # an answer may still come, and would be taken for the next call's
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return response

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().abort()

    async def _connected(self) -> "_Connection":
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._idle), self._host, self._port
            )
        except OSError as error:
            raise WireError(f"it cannot be reached ({error.strerror or error})") from None
        return connection


class _Connection(asyncio.Protocol):
    """One exchange after another; what the parser finds arrives through its ``on_`` methods."""

    def __init__(self, idle: "list[_Connection]") -> None:
        self._idle = idle
        self._answer: asyncio.Future[Response] | None = None
        self.reusable = False

    async def exchange(self, request: bytes) -> Response:
        if self._transport.is_closing():
            raise WireError("it closed the connection")
        self._parser: Any = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._retry_after: str | None = None
        self._framed = self._begun = False
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has another base

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"its answer is no HTTP ({error})")

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)
        if self._begun and not self._framed and exc is None:
            self.on_message_complete()  # a body without a length ends with the connection
        self._fail("it closed the connection before its answer was whole")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value.decode("latin-1")
        elif name in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self.reusable = self._framed and self._parser.should_keep_alive()
            response = Response(self._parser.get_status_code(), self._retry_after, b"".join(self._body))
            self._answer.set_result(response)

    def _fail(self, reason: str) -> None:
        self.reusable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(WireError(reason))

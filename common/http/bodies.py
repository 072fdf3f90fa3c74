"""What a route takes, declared once: read strictly from requests, described in the OpenAPI document.

A handler says so twice in one line each: ``opt=takes(IMAGE)`` on the route, ``await IMAGE.read(request)`` inside.
"""

import asyncio
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from multipart import parse_options_header

from common.errors import CallerLeft, DeadlineExceeded, Invalid, Malformed, TooLarge, Unsupported
from common.http.exchange import BODY, Exchange, exchange
from common.http.parts import MAX_FIELDS, form_parts, form_text, media_of
from common.http.problems import field_error
from contracts._base import Record
from contracts.problem import FieldError

T = TypeVar("T", bound=Record)
AnyRequest = Request[Any, Any, Any]

FORM = "multipart/form-data"
JSON = "application/json"
FORM_OVERHEAD = 64 * 1024
"""Bytes of a form besides its file: boundaries, part headers, option fields."""
LONGEST_SECONDS = 3600.0
"""For a body to arrive, where no deadline is shorter."""
TAKES = "takes"


class Described(NamedTuple):
    """For the OpenAPI document: the Struct behind the query, and the body by media type.

    A body is a Struct, or None for raw bytes; a form is a Struct whose fields are its own, or JSON in one of them.
    """

    query: type[Record] | None
    body: dict[str, type[Record] | None]
    file_part: str | None = None
    """Name of a form's only file."""
    json_part: str | None = None
    """Name of the field that holds a form's Struct."""
    files: tuple[str, ...] = ()
    """Media types of a form's files, where all parts besides its fields are files."""


class Taker(Protocol):
    """Anything that reads a request and can say what it takes."""

    def described(self) -> Described:
        """What the OpenAPI document says of it."""
        ...


def takes(taker: Taker) -> dict[str, Any]:
    """The ``opt`` of a Litestar route that reads its requests with ``taker``."""
    return {TAKES: taker.described()}


class Query(Generic[T]):
    """Query parameters as a Struct; unknown and repeated ones are refused, values are coerced from strings."""

    def __init__(self, options: type[T]) -> None:
        self._options = options

    def read(self, request: AnyRequest) -> T:
        """Raises Invalid, Malformed."""
        return to_options(query_items(request), self._options, "query")

    def described(self) -> Described:
        """The Struct as query parameters."""
        return Described(self._options, {})


class JsonBody(Generic[T]):
    """A JSON body as a Struct, of at most ``limit`` bytes."""

    def __init__(self, body: type[T], limit: int) -> None:
        self._body, self._limit = body, limit
        self._decoder = msgspec.json.Decoder(body)

    async def read(self, request: AnyRequest) -> T:
        """Raises Unsupported, TooLarge, Malformed, Invalid, DeadlineExceeded, CallerLeft."""
        ex = exchange(request)
        media_type(ex, (JSON,))
        body = await read_body(ex, request.receive, self._limit)
        if not body:
            raise Malformed(f"the body is empty; send {JSON}")
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise Invalid.fields((field_error(error),)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"the body is not valid JSON: {error}") from None

    def described(self) -> Described:
        """The Struct as JSON body."""
        return Described(None, {JSON: self._body})


class Bytes:
    """A body of one media type, as it is, of at most ``limit`` bytes."""

    def __init__(self, media: str, limit: int) -> None:
        self._media, self._limit = media, limit

    async def read(self, request: AnyRequest) -> bytes:
        """Never empty. Raises Unsupported, TooLarge, Malformed, DeadlineExceeded, CallerLeft."""
        ex = exchange(request)
        media_type(ex, (self._media,))
        body = await read_body(ex, request.receive, self._limit)
        if not body:
            raise Malformed(f"the body is empty; send {self._media}")
        return body

    def described(self) -> Described:
        """Raw bytes."""
        return Described(None, {self._media: None})


class Upload(Generic[T]):
    """One file with options: raw body and query parameters, or a multipart form with the file in ``part``.

    Every option has a default. In a form they are fields, which win over the query.
    """

    def __init__(self, part: str, media: tuple[str, ...], options: type[T], limit: int) -> None:
        self._part, self._media, self._options, self._limit = part, media, options, limit

    async def read(self, request: AnyRequest) -> tuple[bytes, T]:
        """Raises Unsupported, TooLarge, Malformed, Invalid, DeadlineExceeded, CallerLeft; never an empty file."""
        ex = exchange(request)
        media, parameters = media_type(ex, (*self._media, FORM))
        items = query_items(request)
        # The options are checked first: a wrong one is told before megabytes travel.
        options = to_options(items, self._options, "query")
        if media != FORM:
            return self._not_empty(await read_body(ex, request.receive, self._limit)), options
        body = await read_body(ex, request.receive, self._limit + FORM_OVERHEAD)
        file, fields = self._from_form(body, parameters.get("boundary", ""))
        given = {name for name, _ in fields}
        query = [(name, value) for name, value in items if name not in given]
        return file, to_options([*query, *fields], self._options, "form")

    def described(self) -> Described:
        """Raw bytes or a form."""
        return Described(self._options, {**dict.fromkeys(self._media), FORM: self._options}, self._part)

    def _from_form(self, body: bytes, boundary: str) -> tuple[bytes, list[tuple[str, str]]]:
        file: bytes | None = None
        fields: list[tuple[str, str]] = []
        for segment, content in form_parts(self._not_empty(body), boundary):
            if segment.name != self._part:
                name = segment.name or ""
                fields.append((name, form_text(name, content)))
                continue
            if file is not None:
                raise Invalid.field(f"form.{self._part}", "given more than once")
            if media_of(segment) not in self._media:
                raise Unsupported(
                    f"part {self._part!r} is {segment.content_type or 'of no stated type'}; "
                    f"send it as {' or '.join(self._media)}"
                )
            if len(content) > self._limit:
                raise too_large(self._limit)
            file = content
        if file is None:
            raise Invalid.field(f"form.{self._part}", "missing; add the file as this part")
        return self._not_empty(file), fields

    def _not_empty(self, content: bytes) -> bytes:
        if not content:
            raise Malformed(f"the body is empty; send {' or '.join(self._media)}, or {FORM} with part {self._part!r}")
        return content


async def read_body(ex: Exchange, receive: Any, limit: int) -> bytes:
    """The whole body, of at most ``limit`` bytes.

    Raises: TooLarge as soon as the stated length or the bytes that came exceed the limit, DeadlineExceeded, CallerLeft.
    """
    length = ex.headers.get(b"content-length")
    try:
        if length is not None and length.isdigit() and int(length) > limit:
            raise too_large(limit)
        if (whole := ex.scope.get(BODY)) is not None:
            if len(whole) > limit:
                raise too_large(limit)
            return whole
        async with asyncio.timeout(max(0.0, ex.call.remaining(LONGEST_SECONDS))):
            message = await receive()
            body = message.get("body", b"")
            if len(body) > limit:
                raise too_large(limit)
            if message.get("more_body"):
                body = await _rest(bytearray(body), receive, limit)
    except TooLarge:
        ex.closing = True  # nobody reads what may still come
        raise
    except TimeoutError:
        ex.closing = True
        raise DeadlineExceeded("the body did not arrive within the deadline; send it faster") from None
    if message["type"] == "http.disconnect":
        raise CallerLeft("the caller left before its request was complete")
    return body


async def _rest(body: bytearray, receive: Any, limit: int) -> bytes:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft("the caller left before its request was complete")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit)
        more = message.get("more_body", False)
    return bytes(body)


def media_type(ex: Exchange, taken: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The body's media type and its parameters. Raises Unsupported for one that is not taken."""
    stated = ex.headers.get(b"content-type", b"").decode("latin-1")
    media, parameters = parse_options_header(stated)
    if media not in taken:
        raise Unsupported(f"content-type is {stated or 'missing'}; send {' or '.join(taken)}")
    if encoding := ex.headers.get(b"content-encoding", b"").decode("latin-1"):
        raise Unsupported(f"content-encoding is {encoding}; send the body without it")
    return media, parameters


def query_items(request: AnyRequest) -> list[tuple[str, str]]:
    """Names and values of the query. Raises Malformed."""
    query = request.scope["query_string"]
    if not query:
        return []
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise Malformed(f"the query cannot be read: {error}") from None


def to_options(items: list[tuple[str, str]], options: type[T], where: str) -> T:
    """Names and values as a Struct, coerced from text. Raises Invalid with all that is wrong."""
    given = dict(items)
    known = options.__struct_fields__
    errors = [
        FieldError(field=f"{where}.{n}", message=f"unknown; known: {', '.join(known)}") for n in given if n not in known
    ]
    if len(given) < len(items):
        names = [name for name, _ in items]
        errors += [
            FieldError(field=f"{where}.{n}", message="given more than once") for n in given if names.count(n) > 1
        ]
    # The document says boolean: 0 and 1, which msgspec would take from a string too, are none.
    errors += [
        FieldError(field=f"{where}.{field.name}", message="Expected `bool`: true or false")
        for field in msgspec.structs.fields(options)
        if field.type is bool and given.get(field.encode_name, "true") not in ("true", "false")
    ]
    if errors:
        raise Invalid.fields(tuple(errors))
    try:
        return msgspec.convert(given, options, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid.fields((field_error(error, where),)) from None


def too_large(limit: int) -> TooLarge:
    """For a body over ``limit`` bytes."""
    return TooLarge(f"the body is larger than the {limit} bytes that this route takes; send less")

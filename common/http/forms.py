"""Takers of forms with many files: beside one JSON field, or beside options."""

import asyncio
from typing import Generic, NamedTuple, TypeVar

import msgspec
from multipart import MultipartSegment

from common.errors import Invalid, Malformed, Rejected, TooLarge, Unsupported
from common.http.bodies import (
    FORM,
    FORM_OVERHEAD,
    JSON,
    AnyRequest,
    Described,
    media_type,
    query_items,
    read_body,
    to_options,
    too_large,
)
from common.http.exchange import exchange
from common.http.parts import form_parts, form_text, media_of
from common.http.problems import field_error
from contracts._base import Record
from contracts.problem import FieldError

T = TypeVar("T", bound=Record)

INLINE_BYTES = 256 * 1024
"""Forms up to this size are taken apart faster than a thread takes over."""
LONGEST_NAME = 200
"""Characters of a part's name; it stands in answers and messages."""
NAMELESS = "file"
"""Name of a file that is the body itself."""


class File(NamedTuple):
    """A file of a request."""

    name: str
    """Of its part."""
    content: bytes
    fault: Rejected | None = None
    """What is wrong with it as a file, where ``Files`` tells it of each alone; then there is no content."""


class Files:
    """The file parts of a form: any names, each once; of these media types and at most ``limit`` bytes each.

    ``alone``: a file of another type or size fails no other; it comes as ``File.fault``.
    """

    def __init__(self, media: tuple[str, ...], limit: int, *, alone: bool = False) -> None:
        self.media, self.limit, self.alone = media, limit, alone

    def misnamed(self, segment: MultipartSegment) -> str | None:
        """What is wrong with the name of a part, by which answers call it."""
        name = segment.name or ""
        if 0 < len(name) <= LONGEST_NAME and name.isprintable():
            return None
        return f"a file's part needs a printable name of at most {LONGEST_NAME} characters"

    def fault(self, segment: MultipartSegment, content: bytes) -> Rejected | None:
        """What is wrong with a part as a file."""
        if media_of(segment) not in self.media:
            return Unsupported(
                f"is {segment.content_type or 'of no stated type'}; send it as {' or '.join(self.media)}"
            )
        if not content:
            return Malformed("is empty; send the bytes of the file")
        if len(content) > self.limit:
            return TooLarge(f"has {len(content)} bytes, at most {self.limit} are taken; send a part of it")
        return None

    def file(self, segment: MultipartSegment, content: bytes) -> File:
        """Of a part with a good name."""
        name, fault = segment.name or "", self.fault(segment, content)
        if fault is None:
            return File(name, content)
        return File(name, b"", type(fault)(f"{name} {fault.detail}"))


class JsonAndFiles(Generic[T]):
    """A form with the Struct ``body`` as JSON in ``field``; every other part is a file."""

    def __init__(self, field: str, body: type[T], files: Files, total: int, json_limit: int) -> None:
        self._field, self._body, self._files, self._total, self._json_limit = field, body, files, total, json_limit
        self._decoder = msgspec.json.Decoder(body)

    async def read(self, request: AnyRequest) -> tuple[T, tuple[File, ...]]:
        """Raises Unsupported, TooLarge, Malformed, Invalid, DeadlineExceeded, CallerLeft."""
        ex = exchange(request)
        _, parameters = media_type(ex, (FORM,))
        body = await read_body(ex, request.receive, self._total + self._json_limit + FORM_OVERHEAD)
        fields, files = await _sorted(body, parameters.get("boundary", ""), {self._field}, self._files)
        texts = [content for _, content in fields]
        if len(texts) != 1:
            message = "given more than once" if texts else f"missing; add it as a part with {JSON}"
            raise Invalid.field(f"form.{self._field}", message)
        return self._decoded(texts[0]), files

    def described(self) -> Described:
        """A form."""
        return Described(None, {FORM: self._body}, json_part=self._field, files=self._files.media)

    def _decoded(self, text: bytes) -> T:
        if len(text) > self._json_limit:
            raise too_large(self._json_limit)
        try:
            return self._decoder.decode(text)
        except msgspec.ValidationError as error:
            raise Invalid.fields((field_error(error, f"form.{self._field}"),)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"the part {self._field!r} is not valid JSON: {error}") from None


class FilesAndOptions(Generic[T]):
    """One file as the body with options in the query, or a form of one or many files with options as fields.

    Every option has a default. Fields win over the query.
    """

    def __init__(self, options: type[T], files: Files, total: int) -> None:
        self._options, self._files, self._total = options, files, total

    async def read(self, request: AnyRequest) -> tuple[tuple[File, ...], T]:
        """At least one file. Raises Unsupported, TooLarge, Malformed, Invalid, DeadlineExceeded, CallerLeft."""
        ex = exchange(request)
        media, parameters = media_type(ex, (*self._files.media, FORM))
        items = query_items(request)
        # The options are checked first: a wrong one is told before megabytes travel.
        options = to_options(items, self._options, "query")
        if media != FORM:
            body = await read_body(ex, request.receive, self._files.limit)
            if not body:
                raise Malformed(f"the body is empty; send {' or '.join(self._files.media)}, or {FORM} with files")
            return (File(NAMELESS, body),), options
        body = await read_body(ex, request.receive, self._total + FORM_OVERHEAD)
        known = set(self._options.__struct_fields__)
        fields, files = await _sorted(body, parameters.get("boundary", ""), known, self._files)
        if not files:
            raise Invalid.field("form", "holds no file; add one or more, each as a part of its own name")
        given = [(name, form_text(name, content)) for name, content in fields]
        names = {name for name, _ in given}
        return files, to_options([*(q for q in items if q[0] not in names), *given], self._options, "form")

    def described(self) -> Described:
        """Raw bytes or a form."""
        return Described(
            self._options, {**dict.fromkeys(self._files.media), FORM: self._options}, files=self._files.media
        )


async def _sorted(
    body: bytes, boundary: str, fields: set[str], files: Files
) -> tuple[list[tuple[str, bytes]], tuple[File, ...]]:
    """Fields of these names, and all else as files. Raises Malformed, Unsupported, Invalid (for all files at once)."""
    if not body:
        raise Malformed(f"the body is empty; send {FORM}")
    large = len(body) > INLINE_BYTES
    parts = await asyncio.to_thread(form_parts, body, boundary) if large else form_parts(body, boundary)
    texts = [(segment.name, content) for segment, content in parts if segment.name in fields]
    found = [(segment, content) for segment, content in parts if segment.name not in fields]
    _refuse_stray_fields(found, fields)
    names = [segment.name or "" for segment, _ in found]
    errors = [FieldError(field=f"form.{n}", message="given more than once") for n in set(names) if names.count(n) > 1]
    faults = ((segment, _refusal(files, segment, content)) for segment, content in found)
    errors += [
        FieldError(field=f"form.{(segment.name or '')[:LONGEST_NAME]}", message=why) for segment, why in faults if why
    ]
    if errors:
        raise Invalid.fields(tuple(errors))
    return texts, tuple(files.file(segment, content) for segment, content in found)


def _refusal(files: Files, segment: MultipartSegment, content: bytes) -> str | None:
    """What is wrong with a part and fails the form."""
    if why := files.misnamed(segment):
        return why
    fault = None if files.alone else files.fault(segment, content)
    return fault and fault.detail


def _refuse_stray_fields(parts: list[tuple[MultipartSegment, bytes]], known: set[str]) -> None:
    """A part without a media type and a file name is a field, and this one has no known name."""
    stray = [segment.name or "" for segment, _ in parts if not segment.content_type and not segment.filename]
    if stray:
        message = f"unknown; known: {', '.join(sorted(known))}, and files with their media types"
        raise Invalid.fields(tuple(FieldError(field=f"form.{name[:LONGEST_NAME]}", message=message) for name in stray))

"""The parts of a multipart form."""

from collections.abc import Iterator

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from common.errors import Invalid, Malformed

MAX_FIELDS = 64
"""Query parameters, or parts of a form."""


def form_parts(body: bytes, boundary: str) -> list[tuple[MultipartSegment, bytes]]:
    """Head and content of each part. Raises Malformed."""
    parts: list[tuple[MultipartSegment, bytes]] = []
    pieces: list[bytes | bytearray] = []
    try:
        with PushMultipartParser(boundary, max_segment_count=MAX_FIELDS, strict=True) as parser:
            segment = None
            for event in _events(parser, body):
                if isinstance(event, MultipartSegment):
                    segment, pieces = event, []
                elif event:
                    pieces.append(event)
                elif segment is not None:
                    parts.append((segment, b"".join(pieces)))
                    pieces = []
    except (MultipartError, ValueError) as error:
        raise Malformed(f"the form cannot be read: {error}") from None
    return parts


def form_text(name: str, content: bytes) -> str:
    """The content of a field. Raises Invalid."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Invalid.field(f"form.{name}", "is not UTF-8 text") from None


def media_of(segment: MultipartSegment) -> str:
    """The media type that a part states, without parameters; empty where it states none."""
    return (segment.content_type or "").partition(";")[0].strip().lower()


def _events(parser: PushMultipartParser, body: bytes) -> Iterator[MultipartSegment | bytes | bytearray | None]:
    yield from parser.parse(body)
    if not parser.closed:
        yield from parser.parse(b"")

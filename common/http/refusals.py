"""Whole HTTP answers for requests that are not let in, at the lowest price: what a refusal costs, goodput loses."""

import re

import msgspec

from common.http.admission import BUSY
from common.http.exchange import REQUEST_ID_PATTERN, new_request_id
from common.http.problems import is_oip
from contracts.oip import OipError
from contracts.problem import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_PREFIX, Problem

_encode = msgspec.json.Encoder().encode
_OIP_BODY = _encode(OipError(error=BUSY.detail))
_LENGTH = re.compile(rb"\ncontent-length:[ ]?([0-9]{1,12})\r", re.IGNORECASE)
_PLAIN = b"POST /v2/models/"
_NOT_PLAIN = re.compile(rb"\n(?:transfer-encoding|connection|expect|upgrade|x-request-id)[ \t]*:", re.IGNORECASE)
"""Headers that make a request more than one to be refused blindly."""


def refusal(url: bytes, headers: list[tuple[bytes, bytes]], keep: bool) -> bytes:
    """The same problem that the shell answers when it is full; ``keep`` the connection, or announce its end."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    request_id = given.decode() if REQUEST_ID_PATTERN.fullmatch(given) else new_request_id()
    path = url.partition(b"?")[0].decode("ascii", "replace")
    if is_oip(path):
        return _answer("application/json", _OIP_BODY, request_id, keep)
    problem = Problem(
        type=PROBLEM_TYPE_PREFIX + BUSY.slug,
        title=BUSY.title,
        status=BUSY.status,
        detail=BUSY.detail,
        instance=path,
        request_id=request_id,
    )
    return _answer(PROBLEM_MEDIA_TYPE, _encode(problem), request_id, keep)


def plain_inference(data: bytes) -> bool:
    """Whether ``data`` is surely one whole inference request and nothing else, found without parsing it.

    In doubt False: the parser decides then.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or not data.startswith(_PLAIN):
        return False
    head = data[: end + 2]
    lengths = _LENGTH.findall(head)
    return (
        len(lengths) == 1
        and len(data) == end + 4 + int(lengths[0])
        and head.partition(b"\r\n")[0].endswith(b"/infer HTTP/1.1")
        and head.count(b"\n") == head.count(b"\r\n")
        and _NOT_PLAIN.search(head) is None
    )


def plain_refusal() -> bytes:
    """The answer to a ``plain_inference``."""
    return _answer("application/json", _OIP_BODY, new_request_id(), keep=True)


def _answer(media: str, body: bytes, request_id: str, keep: bool) -> bytes:
    head = (
        f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: 1\r\nx-request-id: {request_id}\r\n{'' if keep else 'connection: close' + chr(13) + chr(10)}\r\n"
    )
    return head.encode() + body

"""Every error as RFC 9457 ``application/problem+json``, wherever it was raised."""

import math
import re
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from common.errors import KitharaError
from common.http.exchange import Exchange, exchange
from contracts.oip import OipError
from contracts.problem import PROBLEM_MEDIA_TYPE, PROBLEM_TYPE_PREFIX, FieldError, Problem

_log: Any = structlog.get_logger("kithara.http")
_encode = msgspec.json.Encoder().encode
_OIP_BAD_REQUEST = (415, 422)
"""The protocol knows 400 only."""
_PATH = re.compile(r"^(?P<reason>.*) - at `\$(?P<path>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$", re.DOTALL)


class Failure(NamedTuple):
    """An error as an answer."""

    status: int
    headers: dict[str, str]
    problem: Problem


def failure(error: Exception, ex: Exchange) -> Failure:
    """What to answer. An error that nobody raised on purpose is logged and tells the caller nothing but its id."""
    headers: dict[str, str] = {}
    errors: tuple[FieldError, ...] = ()
    if isinstance(error, KitharaError) and error.slug != "operator":
        status, slug, title, detail, errors = error.status, error.slug, error.title, error.detail, error.errors
        if error.retry_after is not None:
            headers["retry-after"] = str(math.ceil(error.retry_after))
    elif isinstance(error, HTTPException) and error.status_code < 500:
        status, headers = error.status_code, dict(error.headers or {})
        title = HTTPStatus(status).phrase
        slug, detail = title.lower().replace(" ", "-"), _routing_detail(error, ex)
    else:
        _log.error("unexpected error", request_id=ex.call.request_id, exc_info=error)
        status, slug, title = 500, KitharaError.slug, KitharaError.title
        detail = "the service failed; tell its operator the request id"
    return Failure(
        status,
        headers,
        Problem(
            type=PROBLEM_TYPE_PREFIX + slug,
            title=title,
            status=status,
            detail=detail,
            instance=ex.scope["path"],
            request_id=ex.call.request_id,
            errors=errors,
        ),
    )


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Litestar exception handler."""
    status, headers, problem = failure(error, exchange(request))
    return Response(problem, status_code=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


async def send(error: Exception, ex: Exchange) -> None:
    """Answer outside of Litestar: a problem, or under ``/v2`` the protocol's own error body."""
    status, headers, problem = failure(error, ex)
    media, body = PROBLEM_MEDIA_TYPE, _encode(problem)
    if is_oip(problem.instance):
        reasons = "; ".join(f"{e.field}: {e.message}" for e in problem.errors) or problem.detail
        media, body = "application/json", _encode(OipError(error=reasons))
        status = 400 if status in _OIP_BAD_REQUEST else status
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await ex.answer(status, [*raw, (b"content-type", media.encode())], body)


def is_oip(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def field_error(error: msgspec.ValidationError, prefix: str = "") -> FieldError:
    """msgspec's message, taken apart into the path of the field and the reason."""
    reason, path = str(error), ""
    if found := _PATH.match(reason):
        reason, path = found["reason"], found["path"].lstrip(".")
    if named := _UNKNOWN.match(reason) or _MISSING.match(reason):
        path, reason = f"{path}.{named['name']}".lstrip("."), reason.partition(" `")[0]
    return FieldError(field=f"{prefix}.{path}".strip("."), message=reason)


def _routing_detail(error: HTTPException, ex: Exchange) -> str:
    method, path = ex.scope["method"], ex.scope["path"]
    if error.status_code == 404:
        return f"nothing is served at {path}; /docs lists what is"
    if error.status_code == 405:
        return f"{path} does not take {method}; Allow names the methods it takes"
    return error.detail or HTTPStatus(error.status_code).description

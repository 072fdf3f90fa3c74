"""The body of every error answer (RFC 9457, ``application/problem+json``)."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Record

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_TYPE_PREFIX = "urn:kithara:problem:"
"""A problem's ``type`` is this and its slug, e.g. ``urn:kithara:problem:queue-full``."""


class FieldError(Record, frozen=True, kw_only=True):
    """One thing wrong with the request, and where."""

    field: str
    """A path such as ``query.top_k`` or ``inputs[0].shape``; empty when the whole body is meant."""
    message: str


class Problem(Record, frozen=True, kw_only=True):
    """What went wrong, who must act, and how."""

    type: Annotated[str, Meta(examples=["urn:kithara:problem:queue-full"])]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    instance: str
    """The path of the request that failed."""
    request_id: str
    errors: tuple[FieldError, ...] = ()

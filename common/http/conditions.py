"""Versions as entity tags: requests that hold for one version only (RFC 9110, section 13)."""

import re

from common.errors import Invalid, Unconditional
from common.http.exchange import exchange

CONDITIONAL = "conditional"
"""Key of a route's ``opt``: the OpenAPI document says that ``If-Match`` is needed."""
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_NO_VERSION = 0
"""What a tag stands for that none of ours is equal to."""


def entity_tag(version: int) -> str:
    """The ``ETag`` of a version."""
    return f'"{version}"'


def if_match(request: object) -> int | None:
    """The version that an edit is for; None: whichever there is (``*``); 0: none that there can be.

    Raises Unconditional (no ``If-Match``), Invalid (no one strong entity tag).
    """
    given = _header(request, b"if-match")
    if not given:
        raise Unconditional(
            "this request changes what others may change too: add If-Match with the ETag that was read last, or with *"
        )
    if given == "*":
        return None
    found = _TAG.fullmatch(given)
    if found is None:
        raise Invalid.field("header.if-match", 'must be one entity tag, such as "3" with its quotation marks, or *')
    if found[1]:
        raise Invalid.field("header.if-match", "is weak; send the ETag as it was told, without W/")
    return int(found[2]) if _NUMBER.fullmatch(found[2]) else _NO_VERSION


def not_modified(request: object, version: int) -> bool:
    """Whether ``If-None-Match`` names this version: the caller has it already."""
    given = _header(request, b"if-none-match")
    return given == "*" or str(version) in (tag for _, tag in _TAG.findall(given))


def _header(request: object, name: bytes) -> str:
    return exchange(request).headers.get(name, b"").decode("latin-1").strip()

"""Entity tags: versions that requests are for."""

from types import SimpleNamespace

import pytest

from common.errors import Invalid, Unconditional
from common.http.conditions import entity_tag, if_match, not_modified
from common.http.exchange import KEY


def request(**headers: str) -> SimpleNamespace:
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return SimpleNamespace(scope={KEY: SimpleNamespace(headers=raw)})


@pytest.mark.parametrize("version", [1, 7, 10**17])
def test_a_tag_comes_back_as_its_version(version: int) -> None:
    assert if_match(request(if_match=entity_tag(version))) == version
    assert not_modified(request(if_none_match=entity_tag(version)), version)
    assert not not_modified(request(if_none_match=entity_tag(version)), version + 1)


@pytest.mark.parametrize(
    ("given", "expected"), [("*", None), (" * ", None), ('"x"', 0), ('"007"', 0), ('"0"', 0), ('"1e3"', 0), ('""', 0)]
)
def test_a_tag_that_is_none_of_ours_is_no_version(given: str, expected: int | None) -> None:
    assert if_match(request(if_match=given)) == expected


@pytest.mark.parametrize("given", ["3", "'3'", '"3', '"1", "2"', '"1",*', "**", '"a"b"'])
def test_what_is_no_tag_is_refused(given: str) -> None:
    with pytest.raises(Invalid, match="one entity tag") as caught:
        if_match(request(if_match=given))
    assert [e.field for e in caught.value.errors] == ["header.if-match"]


def test_a_weak_tag_promises_too_little() -> None:
    with pytest.raises(Invalid, match="weak"):
        if_match(request(if_match='W/"3"'))
    assert not_modified(request(if_none_match='W/"3"'), 3)


@pytest.mark.parametrize("headers", [{}, {"if_match": ""}, {"if_none_match": "*"}])
def test_an_edit_without_a_version_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Unconditional, match="add If-Match"):
        if_match(request(**headers))
    assert not not_modified(request(if_match="*"), 1)


@pytest.mark.parametrize(
    ("given", "known"),
    [('"1", "3"', True), ('"1","2"', False), ("*", True), ("3", False), ("", False), ('W/"2", W/"3"', True)],
)
def test_any_of_the_tags_that_a_caller_has(given: str, known: bool) -> None:
    assert not_modified(request(if_none_match=given), 3) is known

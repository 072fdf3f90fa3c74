"""Every error is a problem, with the right status and headers."""

import pytest

from common import errors
from contracts.problem import FieldError

KEYS = {"type", "title", "status", "detail", "instance", "request_id", "errors"}


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (errors.Rejected("no"), 400, "rejected"),
        (errors.Malformed("no"), 400, "malformed"),
        (errors.Unknown("no"), 404, "unknown"),
        (errors.TooLarge("no"), 413, "too-large"),
        (errors.Unsupported("no"), 415, "unsupported-media-type"),
        (errors.Invalid("no", errors=(FieldError(field="a.b", message="bad"),)), 422, "invalid"),
        (errors.TooMany("no", retry_after=2.1), 429, "too-many-requests"),
        (errors.BackendFault("no"), 502, "backend-fault"),
        (errors.Unavailable("no"), 503, "unavailable"),
        (errors.QueueFull("no"), 503, "queue-full"),
        (errors.NotReady("no"), 503, "not-ready"),
        (errors.Draining("no"), 503, "draining"),
        (errors.DeadlineExceeded("no"), 504, "deadline-exceeded"),
    ],
)
async def test_deliberate_errors(suite, error: errors.KitharaError, status: int, slug: str) -> None:
    made = suite()
    made.fails_with(error)
    async with made.client() as client:
        answer = await client.get("/t/raise", headers={"x-request-id": "r-7"})
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == KEYS
    assert problem["type"] == f"urn:kithara:problem:{slug}"
    assert (problem["detail"], problem["instance"], problem["request_id"]) == ("no", "/t/raise", "r-7")
    assert problem["errors"] == [{"field": e.field, "message": e.message} for e in error.errors]
    retry = {429: "3", 503: "1"}.get(status)
    assert answer.headers.get("retry-after") == retry


@pytest.mark.parametrize("error", [RuntimeError("password=1234"), errors.OperatorError("/etc/secret is missing")])
async def test_unexpected_errors_tell_only_the_id(suite, error: Exception, json_logs) -> None:
    made = suite()
    made.fails_with(error)
    with json_logs() as lines:
        async with made.client() as client:
            answer = await client.get("/t/raise")
        (logged,) = [line for line in lines() if line["event"] == "unexpected error"]
    assert answer.status_code == 500
    assert str(error) not in answer.text
    assert logged["request_id"] == answer.json()["request_id"] == answer.headers["x-request-id"]
    assert str(error) in logged["exception"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nowhere", 404, None),
        ("GET", "/v2x", 404, None),
        ("DELETE", "/v1/models", 405, "GET, OPTIONS"),
        ("GET", "/t/json", 405, "OPTIONS, POST"),
        ("HEAD", "/t/json", 405, "OPTIONS, POST"),
        ("TRACE", "/livez", 405, "GET, OPTIONS"),
    ],
)
async def test_routing_errors(suite, method: str, path: str, status: int, allow: str | None) -> None:
    async with suite().client() as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert set(answer.headers.get("allow", "").split(", ")) == set((allow or "").split(", "))
    assert answer.headers["content-type"] == "application/problem+json"
    assert method == "HEAD" or answer.json()["instance"] == path


async def test_head_and_options(suite) -> None:
    async with suite().client() as client:
        head, options = await client.head("/v1/models"), await client.options("/v1/models")
        got = await client.get("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(got.content))
    assert (options.status_code, options.headers["allow"]) == (204, "GET, OPTIONS")

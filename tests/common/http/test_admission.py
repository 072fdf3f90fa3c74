"""Who is let in."""

import asyncio

import pytest

from common.http.admission import MAX_CLIENTS, Gate, RateLimit


def test_burst_then_the_stated_rate() -> None:
    limit = RateLimit(4.0)
    assert [limit.wait("a", 0.0) for _ in range(4)] == [0.0] * 4
    assert limit.wait("a", 0.0) == pytest.approx(0.25)
    assert limit.wait("b", 0.0) == 0.0
    admitted = sum(limit.wait("a", t / 100) == 0.0 for t in range(1, 1001))
    assert admitted == 40  # ten seconds, four a second


def test_slow_rate_lets_one_in() -> None:
    limit = RateLimit(0.1)
    assert limit.wait("a", 0.0) == 0.0
    assert limit.wait("a", 4.0) == pytest.approx(6.0)
    assert limit.wait("a", 10.0) == 0.0


def test_remembered_clients_are_bounded() -> None:
    limit = RateLimit(1.0)
    for number in range(MAX_CLIENTS + 10):
        assert limit.wait(str(number), 0.0) == 0.0
    assert len(limit._free_at) <= MAX_CLIENTS


def test_closed_gate_admits_nobody() -> None:
    gate = Gate(1, 0.0)
    assert gate.refusal("a") is None
    gate.closed = True
    error = gate.refusal("a")
    assert error is not None
    assert (error.status, error.slug, gate.refused["draining"]) == (503, "draining", 1)


async def test_one_too_many_is_refused_unread_and_health_is_not(suite) -> None:
    made = suite(seconds=0.2, in_flight=2)
    async with made.client() as client:
        slow = [asyncio.create_task(client.get("/t/slow")) for _ in range(2)]
        await asyncio.sleep(0.05)
        refused = await client.post("/t/picture", content=b"x" * 99_999, headers={"x-request-id": "r"})
        oip = await client.get("/v2/models/echo")
        live, ready = await client.get("/livez"), await client.get("/readyz")
        answers = await asyncio.gather(*slow)
        after = await client.get("/t/empty")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    problem = refused.json()
    assert (problem["type"], problem["request_id"]) == ("urn:kithara:problem:queue-full", "r")
    assert (oip.status_code, list(oip.json())) == (503, ["error"])
    assert [a.status_code for a in (live, ready, *answers, after)] == [200] * 5
    assert made.app.gate.refused["queue-full"] == 2


async def test_rate_limit_answers_429(suite) -> None:
    made = suite(rate_limit=1.0)
    async with made.client() as client:
        first, second = await client.get("/t/empty"), await client.get("/t/empty")
        assert (await client.get("/livez")).status_code == 200
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.headers["retry-after"] == "1"
    assert second.json()["type"] == "urn:kithara:problem:too-many-requests"

"""Request id, deadline and stage times of one request."""

import re
import time

import pytest

from common.http.exchange import Exchange


def made(**headers: str) -> Exchange:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Exchange({"headers": raw, "method": "GET", "path": "/"}, None, 10.0)


@pytest.mark.parametrize("given", ["a", "A-1_b.c:d", "x" * 128])
def test_safe_request_ids_are_taken_over(given: str) -> None:
    assert made(x_request_id=given).call.request_id == given


@pytest.mark.parametrize("given", ["", "a b", 'a"b', "a\nb", "é", "x" * 129, "a\n"])
def test_other_request_ids_are_replaced(given: str) -> None:
    new = made(x_request_id=given).call.request_id
    assert new != given
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", new)


def test_generated_ids_differ() -> None:
    assert len({made().call.request_id for _ in range(100)}) == 100


@pytest.mark.parametrize(("asked", "seconds"), [(None, 10.0), ("500", 0.5), ("999999999", 10.0)])
def test_timeout_shortens_the_deadline_only(asked: str | None, seconds: float) -> None:
    exchange = made() if asked is None else made(x_timeout_ms=asked)
    assert exchange.call.deadline is not None
    assert exchange.call.deadline - exchange.started == pytest.approx(seconds)
    assert exchange.started <= time.monotonic()


@pytest.mark.parametrize(("asked", "seconds"), [(None, 60.0), ("500", 0.5), ("20000", 20.0), ("999999999", 60.0)])
def test_a_route_may_allow_more_and_a_caller_still_asks_for_less(asked: str | None, seconds: float) -> None:
    exchange = made() if asked is None else made(x_timeout_ms=asked)
    exchange.allow(60.0)
    assert exchange.call.deadline is not None
    assert exchange.call.deadline - exchange.started == pytest.approx(seconds)


@pytest.mark.parametrize("asked", ["0", "-1", "1.5", "soon", "", "1" * 10, "٣"])
async def test_wrong_timeout_is_refused(suite, asked: str) -> None:
    async with suite().client() as client:
        answer = await client.get("/t/empty", headers={"x-timeout-ms": asked.encode()})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.x-timeout-ms"


async def test_id_and_times_are_answered(suite) -> None:
    async with suite(seconds=0.002).client() as client:
        answer = await client.get("/t/slow", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    stages = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(","))
    assert list(stages) == ["decode", "queue", "infer", "encode"]
    assert float(stages["infer"]) == 2.0
    assert float(stages["encode"]) > 0

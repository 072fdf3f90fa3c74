"""Faults come at their shares, repeatably, and look as they do in the wild."""

import asyncio
import socket
from collections import Counter
from typing import get_args

import httpx
import msgspec
import pytest
import uvicorn

from llm_studies.simulate.config import Fault, Faults
from llm_studies.simulate.faults import FaultPlan
from llm_studies.simulate.mind import babble
from llm_studies.simulate.server import SimulatedServer

CHAT = "/v1/chat/completions"
BODY = {"model": "simulated", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}


def certain(fault: Fault, **more: object) -> FaultPlan:
    return FaultPlan(Faults(shares={fault: 1.0}, **more))  # type: ignore[arg-type]


def test_each_fault_has_its_share():
    plan = FaultPlan(Faults(shares={"rate_limit": 0.1, "dropped": 0.05}))
    drawn = Counter(plan.draw(f"key {n}", n) for n in range(4000))
    for fault, share in (("rate_limit", 0.1), ("dropped", 0.05), (None, 0.85)):
        assert abs(drawn[fault] / 4000 - share) < 4 * (share * (1 - share) / 4000) ** 0.5  # type: ignore[index]
    assert dict(plan.drawn) == {fault: n for fault, n in drawn.items() if fault}


def test_by_key_the_order_of_arrival_does_not_matter():
    config = Faults(shares={"server_error": 0.3}, seed=3)
    keys = [f"key {n % 50}" for n in range(150)]

    def met(order):
        plan = FaultPlan(config)
        return Counter((key, plan.draw(key, call)) for call, key in enumerate(order))

    assert met(keys) == met(keys[::-1])
    assert met(keys) != Counter((key, FaultPlan(Faults(shares={"server_error": 0.3})).draw(key, 0)) for key in keys)


def test_by_call_only_the_number_matters():
    config = Faults(shares={"server_error": 0.3}, by="call")
    one, other = FaultPlan(config), FaultPlan(config)
    assert [one.draw("a", n) for n in range(50)] == [other.draw(f"b{n}", n) for n in range(50)]


def test_later_attempts_can_be_spared():
    plan = certain("server_error", attempts=2)
    assert [plan.draw("a", n) for n in range(4)] == ["server_error", "server_error", None, None]
    assert plan.draw("b", 5) == "server_error"


def test_shares_above_1_are_refused():
    with pytest.raises(msgspec.ValidationError, match="more than 1"):
        msgspec.convert({"shares": {"slow": 0.6, "empty": 0.6}}, Faults)


@pytest.mark.parametrize(
    ("fault", "status", "wait"),
    [
        ("rate_limit", 429, "0.25"),
        ("rate_limit_bare", 429, None),
        ("server_error", 500, None),
        ("unavailable", 503, None),
    ],
)
async def test_refusals_bill_nothing(client, fault, status, wait):
    app = SimulatedServer(babble, plan=certain(fault, retry_after=0.25))
    answer = await client(app).post(CHAT, json=BODY)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait)
    assert answer.json()["error"]["message"]
    assert (app.stats().calls, app.stats().billed, app.stats().faults) == (1, 0, {fault: 1})


async def test_spoilt_answers(client):
    good = (await client(SimulatedServer(babble)).post(CHAT, json=BODY)).json()
    text = good["choices"][0]["message"]["content"]

    async def spoilt(fault):
        answer = await client(SimulatedServer(babble, plan=certain(fault))).post(CHAT, json=BODY)
        assert answer.status_code == 200
        return answer.json()

    assert (await spoilt("empty"))["choices"] == []
    assert len((await spoilt("duplicated"))["choices"]) == 2
    cut = (await spoilt("length"))["choices"][0]
    assert cut["finish_reason"] == "length"
    assert 0 < len(cut["message"]["content"]) < len(text)
    filtered = (await spoilt("content_filter"))["choices"][0]
    assert (filtered["finish_reason"], filtered["message"]["content"]) == ("content_filter", "")
    assert (await spoilt("wrong_usage"))["usage"]["completion_tokens"] == 10 * good["usage"]["completion_tokens"]
    assert "usage" not in await spoilt("no_usage")


async def test_a_truncated_document_does_not_decode(client):
    answer = await client(SimulatedServer(babble, plan=certain("truncated"))).post(CHAT, json=BODY)
    assert (answer.status_code, int(answer.headers["content-length"])) == (200, len(answer.content))
    with pytest.raises(ValueError, match=r"."):
        answer.json()


async def test_slow_is_late_but_right(client, monkeypatch):
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    app = SimulatedServer(babble, plan=certain("slow", slow_seconds=7.0))
    assert (await client(app).post(CHAT, json=BODY)).status_code == 200
    assert slept == [7.0]


async def test_a_dropped_connection_is_paid_once_and_the_retry_gets_the_answer():
    app = SimulatedServer(babble, plan=certain("dropped", attempts=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, headers={"Idempotency-Key": "a"}) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(CHAT, json=BODY)
            assert (await client.post(CHAT, json=BODY)).status_code == 200
        server.should_exit = True
        await serving
    stats = app.stats()
    assert (stats.calls, stats.billed, stats.repeated, stats.faults) == (2, 1, 1, {"dropped": 1})


def test_every_named_fault_can_be_planned():
    plan = FaultPlan(Faults(shares=dict.fromkeys(get_args(Fault), 0.07)))
    assert {plan.draw(str(n), n) for n in range(500)} - {None} == set(get_args(Fault))

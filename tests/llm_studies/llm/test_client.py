import asyncio
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from common.errors import OperatorError
from contracts.llm import ChatRequest, Message, Profile, Reply, Usage
from llm_studies.llm import client as client_module
from llm_studies.llm import replies
from llm_studies.llm.ask import CallFailed, UpstreamBusy
from llm_studies.llm.client import Client
from llm_studies.llm.keys import Keys
from llm_studies.llm.plain_wire import PlainWire
from llm_studies.llm.wire import OpenAIWire, WireError

WIRE_OF = client_module.wire_of
SECRET = "sk-very-secret-0123456789"


@pytest.fixture(params=[PlainWire, OpenAIWire], autouse=True)
def _wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test holds over the lean wire and over the library's."""
    monkeypatch.setattr("llm_studies.llm.client.wire_of", request.param)


async def ask(profile: Profile, request: ChatRequest, **env: str) -> Reply:
    async with Client(profile, env) as client:
        return await client(request)


def changed(profile: Profile, **fields: Any) -> Profile:
    return msgspec.structs.replace(profile, **fields)


@pytest.fixture
def request_(make_request: Callable[..., ChatRequest]) -> ChatRequest:
    return make_request("How many?")


async def test_the_body_holds_what_was_asked_and_the_header_the_key(server, profile, request_) -> None:
    asked = changed(request_, temperature=0.5, top_p=0.9, max_tokens=7, seed=3, stop=("END",))
    await ask(changed(profile, extra={"top_k": 4}), asked)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "How many?"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 7,
            "seed": 3,
            "stop": ["END"],
            "top_k": 4,
        }
    ]
    assert server.headers[0]["idempotency-key"] == Keys(changed(profile, extra={"top_k": 4}))(asked)


async def test_fields_that_a_server_does_not_know_are_left_out(server, profile, request_) -> None:
    await ask(changed(profile, send_seed=False, max_tokens_field="max_completion_tokens"), request_)
    assert "seed" not in server.bodies[0]
    assert "stop" not in server.bodies[0]
    assert server.bodies[0]["max_completion_tokens"] == 512
    assert "max_tokens" not in server.bodies[0]


async def test_without_a_system_role_its_text_goes_before_the_users(server, profile, request_) -> None:
    messages = (Message(role="system", content="Be short."), *request_.messages)
    await ask(changed(profile, system_role=False), changed(request_, messages=messages))
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Be short.\n\nHow many?"}]


async def test_a_reply_is_read_whole(server, profile, request_) -> None:
    reply = await ask(profile, request_)
    assert reply.text.startswith("ANSWER: ")
    assert (reply.finish, reply.model, reply.estimated) == ("stop", "m", False)
    assert reply.usage.prompt_tokens >= 10


def choice(text: str | None, finish: str = "stop", **message: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    made = {"message": {"role": "assistant", "content": text} | message, "finish_reason": finish}
    return lambda reply: reply | {"choices": [made]}


@pytest.mark.parametrize(
    ("change", "stop", "text", "finish"),
    [
        (choice("so far", "length"), (), "so far", "length"),
        (choice(None, "content_filter"), (), "", "content_filter"),
        (choice(None, "stop", refusal="I will not."), (), "I will not.", "content_filter"),
        (choice(None, "tool_calls"), (), "", "other"),
        (choice("4 apples END more"), ("END",), "4 apples ", "stop"),
        (choice("4 b a END", "length"), ("END", "a"), "4 b ", "stop"),
    ],
)
async def test_ends_of_replies(server, fault, profile, request_, change, stop, text, finish) -> None:
    server.script = lambda body, arrival: fault(change=change)
    reply = await ask(profile, changed(request_, stop=stop))
    assert (reply.text, reply.finish) == (text, finish)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "many"}, 7])
async def test_without_a_usable_count_of_tokens_ours_is_used_and_said(server, fault, profile, request_, usage) -> None:
    server.script = lambda body, arrival: fault(change=lambda reply: reply | {"usage": usage})
    reply = await ask(profile, request_)
    assert reply.estimated
    # ceil(9 bytes / 3) + 8 for the message; "ANSWER: n" has at most 16 bytes
    assert reply.usage == Usage(prompt_tokens=11, completion_tokens=-(-len(reply.text) // 3))


FAULTS: dict[str, dict[str, Any]] = {
    "408": {"status": 408},
    "429": {"status": 429},
    "500": {"status": 500},
    "503": {"status": 503},
    "dropped": {"drop": True},
    "truncated": {"truncate": True},
    "no JSON": {"body": b"<html>"},
    "half JSON": {"body": b'{"choices": [{"mess'},
    "no choices": {"change": lambda reply: reply | {"choices": []}},
    "no finish reason": {
        "change": lambda reply: reply | {"choices": [{"message": {"content": "x"}, "finish_reason": None}]}
    },
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_may_pass_is_asked_again_under_the_same_key(server, fault, profile, request_, name) -> None:
    server.script = lambda body, arrival: fault(**FAULTS[name]) if arrival < 3 else fault()
    async with Client(profile, {}) as client:
        called = await client.call(request_)
    assert called.reply is not None
    assert called.reply.text.startswith("ANSWER: ")
    assert called.attempts == 4
    assert server.arrived == {Keys(profile)(request_): 4}


@pytest.mark.parametrize("name", FAULTS)
async def test_attempts_end(server, fault, profile, request_, name) -> None:
    server.script = lambda body, arrival: fault(**FAULTS[name])
    with pytest.raises(CallFailed, match="failed 3 times"):
        await ask(changed(profile, attempts=3), request_)
    assert sum(server.arrived.values()) == 3


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refusal_for_good_is_one_attempt_and_fails_this_call(server, fault, profile, request_, status) -> None:
    server.script = lambda body, arrival: fault(
        status=status, body=b'{"error": {"message": "context too long ' + b"x" * 999 + b'"}}'
    )
    with pytest.raises(CallFailed, match=f"{status}: context too long") as caught:
        await ask(profile, request_)
    assert len(str(caught.value)) < 450
    assert sum(server.arrived.values()) == 1


@pytest.mark.parametrize(("status", "says"), [(401, "correct KEY"), (403, "correct KEY"), (404, "no model 'm'")])
async def test_what_no_call_can_pass_stops_everything(server, fault, profile, request_, status, says) -> None:
    server.script = lambda body, arrival: fault(status=status)
    with pytest.raises(OperatorError, match=says):
        await ask(changed(profile, api_key_env="KEY"), request_, KEY=SECRET)
    assert sum(server.arrived.values()) == 1


async def test_retry_after_is_obeyed(server, fault, profile, request_) -> None:
    for header in ("0.3", (datetime.now(UTC) + timedelta(seconds=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")):
        arrivals: list[float] = []

        def script(body: Any, arrival: int, header: str = header, arrivals: list[float] = arrivals) -> Any:
            arrivals.append(time.time())
            return fault(status=429, headers={"retry-after": header}) if len(arrivals) == 1 else fault()

        server.script = script
        await ask(profile, request_)
        assert len(arrivals) == 2
        assert arrivals[1] - arrivals[0] >= 0.3


async def test_told_to_wait_past_the_deadline_it_fails_at_once(server, fault, profile, request_) -> None:
    server.script = lambda body, arrival: fault(status=429, headers={"retry-after": "60"})
    with pytest.raises(UpstreamBusy, match="asks to wait 60 s") as caught:
        await ask(profile, request_)
    assert caught.value.retry_after == 60.0
    assert sum(server.arrived.values()) == 1


async def test_the_deadline_holds_over_all_attempts(server, fault, profile, request_) -> None:
    """Each attempt would take 30 s; a call that outlived its deadline would run into the outer limit."""
    server.script = lambda body, arrival: fault(delay=30.0)
    with pytest.raises(CallFailed, match=r"did not answer within 0\.4 s"):
        async with asyncio.timeout(10):
            await ask(changed(profile, timeout=0.1, deadline=0.4, attempts=100), request_)
    assert 2 <= sum(server.arrived.values()) <= 5


async def test_each_attempt_needs_a_permit(server, fault, profile, request_, monkeypatch: pytest.MonkeyPatch) -> None:
    permits: list[int] = []

    async def acquire(_: Any, tokens: int) -> None:
        permits.append(tokens)

    monkeypatch.setattr("llm_studies.llm.limits.Limiter.acquire", acquire)
    server.script = lambda body, arrival: fault(status=500) if arrival < 2 else fault()
    await ask(profile, request_)
    assert permits == [11 + 512] * 3  # the prompt as estimated, and the largest completion


async def test_a_server_that_is_not_there(profile, request_) -> None:
    with pytest.raises(CallFailed, match=r"failed 2 times, last because "):
        await ask(changed(profile, base_url="http://127.0.0.1:9/v1", attempts=2), request_)


@pytest.mark.parametrize(("proxy", "url", "kind"), [
    ("", "http://a/v1", PlainWire), ("", "https://a/v1", OpenAIWire), ("http://p:1", "http://a/v1", OpenAIWire),
    ("", "http://user:word@a/v1", OpenAIWire),
])  # fmt: skip
def test_the_lean_wire_is_for_plain_http_without_a_proxy(profile, monkeypatch, proxy, url, kind) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("http_proxy", proxy)
    assert isinstance(WIRE_OF(changed(profile, base_url=url), "k"), kind)


async def test_connections_are_kept_and_as_many_as_calls(server, profile, make_request) -> None:
    async with Client(profile, {}) as client:
        for _ in range(3):
            await asyncio.gather(*(client(make_request(str(i))) for i in range(4)))
    assert server.connections == 4


async def test_a_call_given_up_does_not_hand_its_answer_to_the_next(server, fault, profile, make_request) -> None:
    server.script = lambda body, arrival: fault(delay=0.15) if "slow" in str(body) else fault()
    async with Client(profile, {}) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client(make_request("slow"))
        await asyncio.sleep(0.1)
        fast = await client(make_request("fast"))
    assert fast == await ask(profile, make_request("fast"))


async def test_an_answer_in_chunks_and_one_that_ends_with_its_connection(server, fault, profile, request_) -> None:
    whole = await ask(profile, request_)
    content = json.dumps(server.good(server.bodies[0])).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (content[:20], content[20:])) + b"0\r\n\r\n"
    for headers, raw in (({"transfer-encoding": "chunked"}, chunked), ({"connection": "close"}, content)):
        server.script = lambda body, arrival, h=headers, raw=raw: fault(body=raw, headers=h, framed=False)
        assert await ask(profile, request_) == whole


def test_what_is_wrong_before_any_call(profile) -> None:
    with pytest.raises(OperatorError, match="KEY is not set"):
        Client(changed(profile, api_key_env="KEY"), {"KEY": " "})
    with pytest.raises(OperatorError, match="characters that no key has"):
        Client(changed(profile, api_key_env="KEY"), {"KEY": "a\r\nX: b"})
    with pytest.raises(OperatorError, match="no http:// or https:// address"):
        Client(changed(profile, base_url="localhost:8080"), {})
    with pytest.raises(OperatorError, match="no http:// or https:// address"):
        Client(changed(profile, base_url="http:///v1"), {})


async def test_the_key_is_sent_and_shown_nowhere(
    server, fault, profile, request_, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even when the server repeats it, and with every library's log at its loudest."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    echo = b'{"error": {"message": "wrong key ' + SECRET.encode() + b'"}}'
    for status in (400, 401, 404, 500):
        server.script = lambda body, arrival, status=status: fault(status=status, body=echo)
        async with Client(changed(profile, api_key_env="KEY", attempts=2), {"KEY": SECRET}) as client:
            with pytest.raises((CallFailed, OperatorError)) as caught:
                await client(request_)
            error: BaseException | None = caught.value
            while error is not None:
                seen.append(f"{error!r} {error}")
                error = error.__cause__
            seen.append(repr(client) + str(vars(client).get("_wire")))
    assert server.headers[-1]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in "".join(seen)
    assert SECRET not in caplog.text


SHOWN = "Zq7-Wk9-Xj4-Vb2-Qh6-Zt8"
"""No three characters on end are in any message of ours."""


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("kept", range(1, len(SHOWN), 5))
async def test_no_part_of_the_key_is_left_where_a_message_is_cut(
    server, fault, profile, request_, status, kept
) -> None:
    """The key begins so that ``kept`` characters of it stand before the cut."""
    message = "x" * (replies.SHORT - 2 - kept) + " " + SHOWN + " and more" * 50
    for body in (json.dumps({"error": {"message": message}}).encode(), message.encode()):
        server.script = lambda _, arrival, body=body: fault(status=status, body=body)
        with pytest.raises((CallFailed, OperatorError)) as caught:
            await ask(changed(profile, api_key_env="KEY", attempts=2), request_, KEY=SHOWN)
        assert "xxx" in str(caught.value)
        assert not any(SHOWN[i : i + 3] in str(caught.value) for i in range(len(SHOWN) - 2))


async def test_no_part_of_the_key_is_left_in_a_connection_error(profile, request_, monkeypatch) -> None:
    async def post(self: Any, body: bytes, key: str | None) -> Any:
        raise WireError("y" * (replies.SHORT - 10) + f" illegal header Bearer {SHOWN}" + "z" * 300)

    for wire in (PlainWire, OpenAIWire):
        monkeypatch.setattr(wire, "post", post)
    with pytest.raises(CallFailed) as caught:
        await ask(changed(profile, api_key_env="KEY", attempts=1), request_, KEY=SHOWN)
    assert "yyy" in str(caught.value)
    assert not any(SHOWN[i : i + 3] in str(caught.value) for i in range(len(SHOWN) - 2))


async def test_retry_after_zero_is_no_leave_to_ask_at_once(server, fault, profile, request_, monkeypatch) -> None:
    """Seven waits of the back-off's upper ends, 1 + 2 + ... + 64 ms and more, where every wait is its upper end."""
    monkeypatch.setattr("random.Random.uniform", lambda self, low, high: high)
    monkeypatch.setattr("llm_studies.llm.retries.LARGEST", 1.0)
    waits: list[float] = []
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        if seconds:  # the server's are 0
            waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("llm_studies.llm.attempts.asyncio.sleep", slept)
    server.script = lambda body, arrival: fault(status=429, headers={"retry-after": "0"}) if arrival < 7 else fault()
    await ask(profile, request_)
    assert waits == pytest.approx([1.1 * 0.001 * 2**i for i in range(7)])

from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.errors import OperatorError
from contracts.llm import Honoured
from llm_studies.llm import run
from llm_studies.llm.client import Client
from llm_studies.llm.folder import PROBE, saved
from llm_studies.llm.probe import probe, require

CAPABILITIES = (
    "deterministic",
    "temperature",
    "seed",
    "stop",
    "stop_stripped",
    "n",
    "logprobs",
    "usage",
    "max_tokens",
    "system_role",
)


class Model:
    """Answers as a server that honours everything but what is named; one word is one token."""

    def __init__(self, fault: Any, *ignored: str) -> None:
        self._fault, self._ignored, self._count = fault, ignored, 0

    def __call__(self, body: dict[str, Any], arrival: int) -> Any:
        return self._fault(change=lambda _: self._reply(body))

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        self._count += 1
        sampled = body["temperature"] > 0 and "temperature" not in self._ignored
        seed = 0 if not sampled else self._count if "seed" in self._ignored else body.get("seed", 0)
        noise = self._count if "deterministic" in self._ignored and not body["temperature"] else 0
        words = [f"word{(i * 7 + seed * 13 + noise * 11) % 97}" for i in range(24)]
        messages = body["messages"]
        if "system_role" in self._ignored:
            messages = [message for message in messages if message["role"] != "system"]
        if "max_tokens" not in self._ignored:
            words = words[: body["max_tokens"]]
        text = " ".join(words)
        for stop in () if "stop" in self._ignored else body.get("stop", ()):
            if (at := text.find(stop)) >= 0:
                text = text[:at] + (stop if "stop_stripped" in self._ignored else "")
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        if body.get("logprobs") and "logprobs" not in self._ignored:
            choice["logprobs"] = {"content": []}
        usage = {
            "prompt_tokens": sum(len(m["content"].split()) for m in messages),
            "completion_tokens": len(text.split()),
        }
        choices = [choice] * (1 if "n" in self._ignored else body.get("n", 1))
        return {"model": "m", "choices": choices} | ({} if "usage" in self._ignored else {"usage": usage})


@pytest.mark.parametrize("ignored", [(), *((name,) for name in CAPABILITIES)])
async def test_what_a_server_ignores_is_found_and_nothing_else(
    server, fault, profile, ignored: tuple[str, ...]
) -> None:
    server.script = Model(fault, *ignored)
    async with Client(profile, {}) as client:
        found = await probe(client)
    also = {"stop": {"stop_stripped"}, "temperature": {"seed"}, "usage": {"system_role"}}.get(
        ignored[0] if ignored else "", set()
    )
    assert {name for name in CAPABILITIES if not getattr(found, name)} == {*ignored, *also}
    assert found.calls == sum(server.arrived.values()) <= 12


async def test_what_a_server_refuses_is_no_crash_but_a_note(server, fault, profile) -> None:
    model = Model(fault)
    server.script = lambda body, arrival: (
        fault(status=400) if {"n", "logprobs", "stop"} & set(body) else model(body, arrival)
    )
    async with Client(profile, {}) as client:
        found = await probe(client)
    assert (found.n, found.logprobs, found.stop, found.temperature) == (False, False, False, True)
    assert sum("Refused" in note for note in found.notes) == 3


async def test_a_model_that_says_nothing_passes_through(server, fault, profile) -> None:
    empty = {"model": "m", "choices": [{"message": {"content": None}, "finish_reason": "length"}]}
    server.script = lambda body, arrival: fault(change=lambda _: empty)
    async with Client(profile, {}) as client:
        found = await probe(client)
    assert (found.deterministic, found.temperature, found.stop, found.usage) == (True, False, False, False)


async def test_a_study_that_needs_what_is_ignored_does_not_start(
    server, fault, profile, questions, tmp_path: Path
) -> None:
    class Sampling(questions):
        needs = frozenset({"temperature", "deterministic"})

    server.script = Model(fault, "temperature")
    with pytest.raises(OperatorError, match=r"ignores temperature .*self-consistency a single vote"):
        await run.execute(Sampling(3), tmp_path, profile)
    assert set(server.arrived) == {""}
    server.script = Model(fault)
    (tmp_path / PROBE).unlink()
    assert (await run.execute(Sampling(3), tmp_path, profile)).complete


async def test_a_probe_is_kept_and_not_made_again_for_the_same_model(
    server, fault, profile, questions, tmp_path
) -> None:
    server.script = Model(fault)
    await run.execute(questions(2), tmp_path, profile)
    first = server.arrived[""]
    await run.execute(questions(4), tmp_path, profile)
    assert server.arrived[""] == first
    await run.execute(questions(6), tmp_path, msgspec.structs.replace(profile, model="n"))
    assert server.arrived[""] == 2 * first
    kept = saved(tmp_path, PROBE, Honoured)
    assert kept is not None
    assert kept.model == "n"


async def test_no_server_and_an_unknown_model_are_said_before_any_paid_call(
    server, fault, profile, questions, tmp_path
) -> None:
    away = msgspec.structs.replace(profile, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(OperatorError, match="the server does not answer"):
        await run.execute(questions(2), tmp_path / "a", away)
    server.script = lambda body, arrival: fault(status=400, body=b'{"detail": "serves tiny only"}')
    with pytest.raises(OperatorError, match="serves tiny only"):
        await run.execute(questions(2), tmp_path / "b", profile)


def test_require_names_each_thing() -> None:
    found = Honoured(base_url="http://a/v1", model="m", created="", calls=10, **dict.fromkeys(CAPABILITIES, False))
    require(found, ())
    with pytest.raises(OperatorError, match=r"ignores max_tokens \(replies .*; usage \(tokens"):
        require(found, ("usage", "max_tokens"))

"""A simulated mind behind OpenAI's chat completions API, as a plain ASGI application.

It counts what it is asked, so that a test can prove how many calls a study really paid for.
"""

import asyncio
from typing import Any

import msgspec

from contracts._base import Record
from contracts.llm import Count, Message
from llm_studies.simulate import wire
from llm_studies.simulate.asgi import EVENTS, Answer, Receive, Send, body_of, lifespan, send_answer
from llm_studies.simulate.config import Server
from llm_studies.simulate.faults import FaultPlan, delivered, refusal, spoilt
from llm_studies.simulate.mind import Mind, Prompt, Said, digest, draw, end, prompt_tokens


class Stats(Record, frozen=True, kw_only=True):
    """``GET /stats``: what the server was asked since it started."""

    calls: Count
    """Requests for a completion, whatever became of them."""
    billed: Count
    """Answers that were made; a key that was answered before is not billed again."""
    keys: Count
    """Distinct Idempotency-Keys that were answered."""
    repeated: Count
    """Requests whose key had been answered before."""
    prompt_tokens: Count
    completion_tokens: Count
    most_in_flight: Count
    faults: dict[str, int]


class SimulatedServer:
    """The ASGI application."""

    def __init__(self, mind: Mind, config: Server | None = None, plan: FaultPlan | None = None, key: str = "") -> None:
        """``key``: the API key that callers must show; empty: none."""
        self._mind, self._config, self._plan, self._key = mind, config or Server(), plan, key
        self._calls = self._billed = self._repeated = self._in_flight = self._most = 0
        self._tokens = [0, 0]
        self._answered: dict[str, dict[str, Any]] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "http":
            await send_answer(send, await self._route(scope, receive))

    def stats(self) -> Stats:
        """The counters."""
        return Stats(
            calls=self._calls,
            billed=self._billed,
            keys=len(self._answered),
            repeated=self._repeated,
            prompt_tokens=self._tokens[0],
            completion_tokens=self._tokens[1],
            most_in_flight=self._most,
            faults=dict(sorted(self._plan.drawn.items())) if self._plan else {},
        )

    async def _route(self, scope: dict[str, Any], receive: Receive) -> Answer:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        match scope["method"], scope["path"]:
            case "GET", "/health":
                return Answer(200, b'{"status":"ok"}')
            case "GET", "/stats":
                return Answer(200, msgspec.json.encode(self.stats()))
            case _ if self._key and headers.get(b"authorization") != f"Bearer {self._key}":
                return Answer(
                    401, wire.error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
                )
            case "GET", "/v1/models":
                one = {"id": self._config.model, "object": "model", "created": 0, "owned_by": "kithara"}
                return Answer(200, msgspec.json.encode({"object": "list", "data": [one]}))
            case "POST", "/v1/chat/completions":
                return await self._counted(await body_of(receive), headers)
            case method, path:
                return Answer(404, wire.error(f"No route {method} {path}.", "invalid_request_error"))

    async def _counted(self, raw: bytes, headers: dict[bytes, str]) -> Answer:
        self._calls += 1
        self._in_flight += 1
        self._most = max(self._most, self._in_flight)
        try:
            return await self._complete(raw, headers.get(b"idempotency-key", ""))
        finally:
            self._in_flight -= 1

    async def _complete(self, raw: bytes, key: str) -> Answer:
        try:
            body = msgspec.json.decode(raw, type=wire.Body)
        except msgspec.MsgspecError as wrong:
            return Answer(400, wire.error(str(wrong), "invalid_request_error"))
        if body.model != self._config.model:
            missing = f"The model `{body.model}` does not exist; this server has `{self._config.model}`."
            return Answer(404, wire.error(missing, "invalid_request_error", "model_not_found"))
        if self._config.refuse_system and any(turn.role == "system" for turn in body.messages):
            return Answer(400, wire.error("This model's template has no system role.", "invalid_request_error"))
        call = self._calls
        fault = self._plan.draw(key or digest(raw), call) if self._plan else None
        await asyncio.sleep(
            self._config.latency + (self._plan.config.slow_seconds if self._plan and fault == "slow" else 0)
        )
        if self._plan and (refused := refusal(fault, self._plan.config.retry_after)):
            return refused
        return delivered(fault, _answer(body, spoilt(fault, self._whole(body, key, call))))

    def _whole(self, body: wire.Body, key: str, call: int) -> dict[str, Any]:
        """The answer: the one that was given to this key before, or a new one, which is billed."""
        if key in self._answered:
            self._repeated += 1
            return self._answered[key]
        turns, ignore = body.turns(), self._config.ignore
        if "system" in ignore:
            turns = tuple(turn for turn in turns if turn.role != "system")
        said = [self._say(body, turns, call, choice) for choice in range(1 if "n" in ignore else body.n or 1)]
        whole = wire.completion(call, body.model, said, logprobs=bool(body.logprobs) and "logprobs" not in ignore)
        used = wire.usage(prompt_tokens(turns), said)
        self._billed += 1
        self._tokens[0] += used["prompt_tokens"]
        self._tokens[1] += used["completion_tokens"]
        if "usage" not in ignore:
            whole["usage"] = used
        if key:
            self._answered[key] = whole
        return whole

    def _say(self, body: wire.Body, turns: tuple[Message, ...], call: int, choice: int) -> Said:
        ignore = self._config.ignore
        temperature = 0.0 if "sampling" in ignore else 1.0 if body.temperature is None else body.temperature
        # Without a seed two calls differ, as on every server that samples: the number of the call stands for chance.
        seed = f"call {call}" if body.seed is None or "seed" in ignore else body.seed
        limit = None if "max_tokens" in ignore else body.max_completion_tokens or body.max_tokens
        stops = () if "stop" in ignore else body.stops()
        text = self._mind(Prompt(turns, draw(temperature, seed, choice)))
        return end(text, stops, limit, keep_stop=self._config.keep_stop)


def _answer(body: wire.Body, whole: dict[str, Any]) -> Answer:
    if not body.stream:
        return Answer(200, msgspec.json.encode(whole))
    wanted = body.stream_options is not None and body.stream_options.include_usage
    return Answer(200, b"".join(wire.events(whole, with_usage=wanted)), kind=EVENTS)

"""The JSON of OpenAI's chat completions, as far as the simulated server speaks it."""

import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from contracts.llm import Message
from llm_studies.simulate.mind import Said, tokens

Turn = Literal["system", "user", "assistant"]


class Part(Struct):
    """A piece of a message's content."""

    text: str = ""


class WireMessage(Struct):
    role: Turn
    content: str | list[Part] | None = None


class StreamOptions(Struct):
    include_usage: bool = False


class Body(Struct):
    """A request. Fields that are not listed are accepted and mean nothing here, as on most servers."""

    model: str
    messages: Annotated[list[WireMessage], Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def turns(self) -> tuple[Message, ...]:
        """The conversation as texts."""
        return tuple(Message(role=one.role, content=_content(one.content)) for one in self.messages)

    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


def _content(content: str | list[Part] | None) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content or ())


def usage(prompt: int, said: Iterable[Said]) -> dict[str, int]:
    """Tokens billed."""
    completion = sum(len(tokens(one.text)) for one in said)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(number: int, model: str, said: Sequence[Said], *, logprobs: bool) -> dict[str, Any]:
    """A whole answer without its usage."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": one.text, "refusal": None},
            "logprobs": {"content": [_logprob(token) for token in tokens(one.text)]} if logprobs else None,
            "finish_reason": one.finish,
        }
        for index, one in enumerate(said)
    ]
    return _head("chat.completion", number, model) | {"choices": choices}


def events(whole: dict[str, Any], *, with_usage: bool) -> Iterable[bytes]:
    """The same answer as server-sent events, a token each."""
    head = {**whole, "object": "chat.completion.chunk", "choices": []}
    used = head.pop("usage", None)
    for choice in whole["choices"]:
        index = choice["index"]
        yield _event(head, index, {"role": "assistant", "content": ""}, None)
        for token in tokens(choice["message"]["content"]):
            yield _event(head, index, {"content": token}, None)
        yield _event(head, index, {}, choice["finish_reason"])
    if with_usage and used is not None:
        yield _data(head | {"usage": used})
    yield b"data: [DONE]\n\n"


def error(message: str, kind: str, code: str | None = None) -> bytes:
    """OpenAI's error document."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _event(head: dict[str, Any], index: int, delta: dict[str, str], finish: str | None) -> bytes:
    return _data(head | {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def _data(document: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _logprob(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": 0.0, "bytes": list(token.encode()), "top_logprobs": []}


def _head(kind: str, number: int, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": int(time.time()), "model": model}

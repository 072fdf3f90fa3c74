"""The body of a request, and the reply in the body of a response."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from contracts.llm import ChatRequest, Message, Profile, Reply, Usage
from llm_studies.llm.tokens import estimated, prompt_tokens

Finish = Literal["stop", "length", "content_filter", "other"]
FINISH: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
SHORT = 300
"""Characters of a server's message that a person is shown."""


class Incomplete(Exception):
    """A response of status 200 that is no complete reply; ``usage`` where it states what it took."""

    def __init__(self, reason: str, usage: Usage | None = None) -> None:
        super().__init__(reason)
        self.usage = usage


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class Completion(Struct):
    """What we read of a chat completion; servers may send more."""

    choices: list[_Choice] = []
    usage: Any = None
    model: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Completion)


class _Tokens(Struct):
    prompt_tokens: int
    completion_tokens: int


def body(profile: Profile, request: ChatRequest, **more: Any) -> bytes:
    """The JSON body of one call; ``more`` is for what only the probe asks."""
    fields: dict[str, Any] = {
        "model": profile.model,
        "messages": messages(profile, request),
        "temperature": request.temperature,
        "top_p": request.top_p,
        profile.max_tokens_field: request.max_tokens,
    }
    if profile.send_seed and request.seed is not None:
        fields["seed"] = request.seed
    if request.stop:
        fields["stop"] = request.stop
    return _encoder.encode(fields | profile.extra | more)


def messages(profile: Profile, request: ChatRequest) -> tuple[Message, ...]:
    """As sent: where the server takes no system role, its text is put before the first message of the user."""
    if profile.system_role:
        return request.messages
    system = [message.content for message in request.messages if message.role == "system"]
    rest = [message for message in request.messages if message.role != "system"]
    at = next((i for i, message in enumerate(rest) if message.role == "user"), 0)
    if not system:
        return request.messages
    first = rest[at : at + 1] or [Message(role="user", content="")]
    content = "\n\n".join(part for part in (*system, first[0].content) if part)
    return (*rest[:at], msgspec.structs.replace(first[0], role="user", content=content), *rest[at + 1 :])


def decoded(content: bytes) -> Completion:
    """Raises Incomplete when the body is not whole JSON, or has no choice with a reason why it ended."""
    try:
        completion = _decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Incomplete(f"its body is no chat completion ({error})") from None
    if not completion.choices:
        raise Incomplete("it sent no choices", counted(completion))
    if not completion.choices[0].finish_reason:
        raise Incomplete("its reply has no finish reason", counted(completion))
    return completion


def reply(completion: Completion, request: ChatRequest) -> Reply:
    """The first choice, cut before a stop text, with tokens counted by us where the server did not."""
    choice = completion.choices[0]
    refused = choice.message.content is None and choice.message.refusal is not None
    whole = (choice.message.refusal if refused else choice.message.content) or ""
    text, stopped = cut(whole, request.stop)
    finish: Finish = FINISH.get(choice.finish_reason or "", "other")
    if refused or stopped:
        finish = "content_filter" if refused else "stop"
    usage = counted(completion)
    return Reply(
        text=text,
        finish=finish,
        usage=usage or Usage(prompt_tokens=prompt_tokens(request), completion_tokens=estimated(whole)),
        estimated=usage is None,
        model=completion.model or "",
    )


def cut(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """``text`` before the first stop text in it, and whether there was one. Some servers leave it in, or go on."""
    found = [at for at in (text.find(end) for end in stop if end) if at >= 0]
    return (text[: min(found)], True) if found else (text, False)


def counted(completion: Completion) -> Usage | None:
    """None when the server sent no usage, or none that can be."""
    if completion.usage is None:
        return None
    try:
        return msgspec.convert(msgspec.structs.asdict(msgspec.convert(completion.usage, _Tokens)), Usage)
    except msgspec.MsgspecError:
        return None


def said(content: bytes) -> str:
    """What an error body says to a person."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return content.decode(errors="replace")
    for field in ("error", "detail", "message"):
        document = document.get(field, document) if isinstance(document, dict) else document
    return document if isinstance(document, str) else msgspec.json.encode(document).decode()


def short(text: str) -> str:
    """On one line, as much as a person reads."""
    line = " ".join(text.split())
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"

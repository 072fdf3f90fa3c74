"""Calls to a language model: the request whose every field is part of the cache key, the reply, and what is kept."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record, Seconds, Sha256

NonNegative = Annotated[float, Meta(ge=0.0)]
Count = Annotated[int, Meta(ge=0)]


class Message(Record, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Record, frozen=True, kw_only=True):
    """One call. Whatever may change the reply stands here, because the key of the cache is made of all of it."""

    messages: Annotated[tuple[Message, ...], Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    max_tokens: Positive = 512
    seed: int | None = 0
    stop: tuple[str, ...] = ()
    """Texts before which the reply ends; they are not part of it, whatever the server does."""
    template: str = ""
    """Digest of the prompt file that the messages were made from; empty for free text."""


class Usage(Record, frozen=True, kw_only=True):
    """Tokens, as the server counts them."""

    prompt_tokens: Count
    completion_tokens: Count


class Reply(Record, frozen=True, kw_only=True):
    """A complete answer with a finish reason; nothing else is ever kept for reuse."""

    text: str
    finish: Literal["stop", "length", "content_filter", "other"]
    usage: Usage
    estimated: bool = False
    """The server sent no usage: the tokens are our estimate."""
    model: str = ""
    """As the server names it."""


class Profile(Record, frozen=True, kw_only=True):
    """One upstream model, as a TOML file. The key itself stands in the environment, never in a file of ours."""

    base_url: Annotated[str, Meta(pattern=r"^https?://", examples=["http://127.0.0.1:8080/v1"])]
    model: Annotated[str, Meta(min_length=1)]
    api_key_env: str | None = None
    """Name of the variable that holds the key; none: the server wants none."""
    concurrency: Annotated[int, Meta(ge=1, le=4096)] = 16
    """Calls under way at once."""
    requests_per_minute: Annotated[float, Meta(ge=0.0)] = 0.0
    """0: no limit."""
    tokens_per_minute: Annotated[float, Meta(ge=0.0)] = 0.0
    """Prompt and largest completion together; 0: no limit."""
    timeout: Seconds = 60.0
    """Of one attempt."""
    deadline: Seconds = 300.0
    """Of a call with all its attempts and waits."""
    attempts: Annotated[int, Meta(ge=1, le=100)] = 8
    system_role: bool = True
    """False: the system message is put before the first user message."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_seed: bool = True
    extra: dict[str, str | int | float | bool] = {}
    """Further fields of the request's body, e.g. of vLLM; part of the cache key."""


class Price(Record, frozen=True, kw_only=True):
    """Per million tokens, in the currency of the price file."""

    prompt: NonNegative
    completion: NonNegative


class Prices(Record, frozen=True, kw_only=True):
    """A price file (TOML): ``[models."gpt-4o-mini"] prompt = 0.15, completion = 0.60``."""

    currency: str = "USD"
    models: dict[str, Price]


class Lost(Record, frozen=True, kw_only=True):
    """Responses of status 200 that were no whole reply, and billed all the same."""

    responses: Count
    usage: Usage
    """As they state it; of those that state none the most that it can be."""


class CallRow(Record, frozen=True, kw_only=True):
    """One line of a journal: a call that ended, well or not. Only lines with a reply are ever reused."""

    key: Sha256
    repeat: Count = 0
    reply: Reply | None = None
    error: str | None = None
    attempts: Positive = 1
    """Requests that were sent for it."""
    lost: Lost | None = None
    """Of these requests, what was billed without a reply."""
    seconds: NonNegative = 0.0
    time: str = ""
    """UTC, ISO 8601."""
    reused: bool = False
    """Taken from another run's journal: nothing was paid."""


class Honoured(Record, frozen=True, kw_only=True):
    """What a server really does with what it is asked (``kithara llm probe``)."""

    base_url: str
    model: str
    created: str
    deterministic: bool
    """The same text twice at temperature 0."""
    temperature: bool
    """Other seeds give other texts at temperature above 0."""
    seed: bool
    """The same seed gives the same text at temperature above 0."""
    stop: bool
    """Generation ends at a stop text."""
    stop_stripped: bool
    """...and the stop text is not part of the reply."""
    n: bool
    logprobs: bool
    usage: bool
    max_tokens: bool
    system_role: bool
    calls: Count
    notes: tuple[str, ...] = ()
    """What a person should know, one sentence each."""


class Plan(Record, frozen=True, kw_only=True):
    """What a study will ask at most, before anything is paid."""

    calls: Count
    """Of which ``known`` need not be paid again."""
    known: Count
    prompt_tokens: Count
    """Estimated, of the calls still to pay."""
    completion_tokens: Count
    """As many as the requests allow."""
    cost: NonNegative | None = None
    """At the price file's prices; none: no price file."""
    currency: str = ""

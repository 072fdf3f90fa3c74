"""Bodies to a server and back: nothing here knows what they mean."""

import logging
from typing import NamedTuple, Protocol

import httpx2  # the HTTP client that openai brings
import openai

from contracts.llm import Profile

PATH = "/chat/completions"


class Response(NamedTuple):
    """What came back whole, whatever its status."""

    status: int
    retry_after: str | None
    body: bytes


class WireError(Exception):
    """No whole response came back."""


class Wire(Protocol):
    """Sends one body. Raises WireError; gives up when its task is cancelled."""

    async def post(self, body: bytes, idempotency_key: str | None) -> Response: ...

    async def aclose(self) -> None: ...


class OpenAIWire:
    """Through the ``openai`` client, which knows TLS, proxies and the environment's settings for both."""

    def __init__(self, profile: Profile, api_key: str) -> None:
        self._client = client_of(profile, api_key)
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it tells of every call

    async def post(self, body: bytes, idempotency_key: str | None) -> Response:
        headers = {"Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            got = await self._client.post(PATH, cast_to=httpx2.Response, options={"headers": headers}, content=body)
        except openai.APIStatusError as error:
            got = error.response
        except openai.APIError as error:
            cause = error.__cause__
            raise WireError(f"{type(cause or error).__name__}: {cause or error}") from None
        return Response(got.status_code, got.headers.get("retry-after"), got.content)

    async def aclose(self) -> None:
        await self._client.close()


def client_of(profile: Profile, api_key: str) -> openai.AsyncOpenAI:
    """The library's client, which tries once and keeps a connection for every call under way."""
    limits = httpx2.Limits(max_connections=profile.concurrency, max_keepalive_connections=profile.concurrency)
    return openai.AsyncOpenAI(
        base_url=profile.base_url,
        api_key=api_key,
        max_retries=0,
        timeout=profile.timeout,
        http_client=openai.DefaultAsyncHttpxClient(limits=limits),
    )

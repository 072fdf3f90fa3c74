"""One upstream model: a call is answered, or fails for a stated reason, within its deadline."""

import os
import random
import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from common.errors import KitharaError, OperatorError
from contracts.llm import ChatRequest, Profile, Reply
from llm_studies.llm import replies
from llm_studies.llm.ask import CallFailed, UpstreamBusy
from llm_studies.llm.attempts import FREE, Attempts, Purse
from llm_studies.llm.keys import Keys
from llm_studies.llm.limits import Limiter
from llm_studies.llm.plain_wire import PlainWire
from llm_studies.llm.wire import OpenAIWire, Wire

NO_KEY = "none"
"""Sent where the profile names no variable: the library wants something, such a server reads nothing."""


class Called(NamedTuple):
    """How a call ended: with a reply, or with an error that only this call has."""

    reply: Reply | None
    error: KitharaError | None
    attempts: int
    seconds: float


class Client:
    """An ``Ask`` that pays. Use as a context, or close it with ``aclose``.

    Everything that can fail before a request fails when it is made: raises OperatorError.
    """

    def __init__(self, profile: Profile, env: Mapping[str, str] = os.environ, *, wire: Wire | None = None) -> None:
        self.profile = profile
        self._secret = _secret(profile, env)
        self._keys = Keys(profile)
        self._limiter = Limiter(profile)
        self._chance = random.Random(0)
        if urlsplit(profile.base_url).scheme not in ("http", "https") or not urlsplit(profile.base_url).hostname:
            raise OperatorError(f"base_url {profile.base_url!r} is no http:// or https:// address; correct the profile")
        self._wire = wire or wire_of(profile, self._secret or NO_KEY)

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        """Raises CallFailed or UpstreamBusy for this call, OperatorError for all."""
        called = await self.call(request, repeat)
        if called.reply is None:
            raise called.error or CallFailed("no reply")
        return called.reply

    async def call(self, request: ChatRequest, repeat: int = 0, purse: Purse = FREE) -> Called:
        """The same, with what it took. Raises only OperatorError, CapReached where ``purse`` does."""
        started = time.monotonic()
        attempts = self._attempts(request, replies.body(self.profile, request), self._keys(request, repeat), purse)
        try:
            reply = replies.reply(await attempts.completion(), request)
        except (CallFailed, UpstreamBusy) as error:
            return Called(None, error, attempts.made, time.monotonic() - started)
        return Called(reply, None, attempts.made, time.monotonic() - started)

    async def raw(self, request: ChatRequest, **more: object) -> replies.Completion:
        """A completion as the server sent it, asked with further fields of the body: what the probe looks at.

        Raises CallFailed, UpstreamBusy or OperatorError.
        """
        return await self._attempts(request, replies.body(self.profile, request, **more), None).completion()

    def _attempts(self, request: ChatRequest, body: bytes, key: str | None, purse: Purse = FREE) -> Attempts:
        return Attempts(self.profile, self._wire, self._limiter, self._chance, body, request, key, self._secret, purse)

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()


def wire_of(profile: Profile, api_key: str) -> Wire:
    """The lean one where it can do the work: plain HTTP to a host that no proxy stands before."""
    url = urlsplit(profile.base_url)
    proxied = "http" in getproxies() and not proxy_bypass(url.hostname or "")
    lean = url.scheme == "http" and not url.username and not proxied
    return PlainWire(profile, api_key) if lean else OpenAIWire(profile, api_key)


def _secret(profile: Profile, env: Mapping[str, str]) -> str | None:
    if profile.api_key_env is None:
        return None
    if not (secret := env.get(profile.api_key_env, "").strip()):
        raise OperatorError(f"{profile.api_key_env} is not set; put the key of {profile.base_url} into that variable")
    if not (secret.isascii() and secret.isprintable()):
        raise OperatorError(f"{profile.api_key_env} holds characters that no key has; put the key alone into it")
    return secret

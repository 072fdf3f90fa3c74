"""The one retry layer: a body is sent until it is answered, refused for good, or out of time."""

import asyncio
import random
import time
from typing import Protocol

from common.errors import KitharaError, OperatorError
from contracts.llm import ChatRequest, Profile, Usage
from llm_studies.llm import replies
from llm_studies.llm.ask import CallFailed, RequestRefused, Unreachable, UpstreamBusy
from llm_studies.llm.limits import Limiter
from llm_studies.llm.retries import pause, retry_after, worth_repeating
from llm_studies.llm.tokens import prompt_tokens
from llm_studies.llm.wire import Response, Wire, WireError


class Purse(Protocol):
    """Pays for the attempts of one call."""

    async def attempt(self) -> None:
        """Before each attempt. Raises CapReached when it may not be made."""
        ...

    def lose(self, stated: Usage | None) -> None:
        """A response of status 200 was billed, as it states, and is no reply."""
        ...


class Free:
    """Where nobody counts."""

    async def attempt(self) -> None: ...

    def lose(self, stated: Usage | None) -> None: ...


FREE = Free()


class Attempts:
    """One call. Its deadline begins with the first permit of the limiter: the queue before it is ours to bear."""

    def __init__(
        self,
        profile: Profile,
        wire: Wire,
        limiter: Limiter,
        chance: random.Random,
        body: bytes,
        request: ChatRequest,
        key: str | None,
        secret: str | None,
        purse: Purse,
    ) -> None:
        self._profile, self._wire, self._limiter, self._chance = profile, wire, limiter, chance
        self._body, self._tokens = body, prompt_tokens(request) + request.max_tokens
        self._key, self._secret, self._purse = key, secret, purse
        self.made = 0
        self._reason, self._failure = "", CallFailed

    async def completion(self) -> replies.Completion:
        """Raises CallFailed, UpstreamBusy (told to wait past the deadline), CapReached (the purse is empty) or
        OperatorError (no call can succeed).
        """
        await self._purse.attempt()
        await self._limiter.acquire(self._tokens)
        end = time.monotonic() + self._profile.deadline
        while True:
            self.made, self._failure = self.made + 1, CallFailed
            asked_to_wait: float | None = None
            try:
                response = await self._sent(end)
                if response.status == 200:
                    return replies.decoded(response.body)
                if not worth_repeating(response.status):
                    raise self._refusal(response)
                self._reason = f"it answered {response.status} ({self._shown(replies.said(response.body))})"
                asked_to_wait = retry_after(response.retry_after)
            except replies.Incomplete as error:
                self._purse.lose(error.usage)
                self._reason = self._shown(str(error))
            except WireError as error:
                self._reason, self._failure = self._shown(str(error)), Unreachable
            except TimeoutError:
                self._reason = "it did not answer in time"
            await self._wait(asked_to_wait, end)

    async def _sent(self, end: float) -> Response:
        async with asyncio.timeout(min(self._profile.timeout, max(0.0, end - time.monotonic()))):
            return await self._wire.post(self._body, self._key)

    async def _wait(self, asked: float | None, end: float) -> None:
        """Until the next attempt may be made. Raises when there will be none."""
        left = end - time.monotonic()
        where = f"{self._profile.model} at {self._profile.base_url}"
        if self.made >= self._profile.attempts:
            raise self._failure(f"{where} failed {self.made} times, last because {self._reason}; run again to retry")
        if asked is not None and asked >= left:
            raise UpstreamBusy(
                f"{where} asks to wait {asked:.0f} s, longer than the deadline allows", retry_after=asked
            )
        wait = pause(self.made, asked, left, self._chance)
        if wait >= left:
            raise self._failure(f"{where} did not answer within {self._profile.deadline:g} s, because {self._reason}")
        await asyncio.sleep(wait)
        await self._purse.attempt()
        await self._limiter.acquire(self._tokens)
        if time.monotonic() >= end:
            raise self._failure(f"{where} did not answer within {self._profile.deadline:g} s, because {self._reason}")

    def _refusal(self, response: Response) -> KitharaError:
        """For good: another attempt would be refused alike."""
        profile, message = self._profile, self._shown(replies.said(response.body))
        if response.status in (401, 403):
            remedy = f"correct {profile.api_key_env}" if profile.api_key_env else "set api_key_env in the profile"
            return OperatorError(f"{profile.base_url} refuses the key ({response.status}); {remedy}")
        if response.status == 404:
            return OperatorError(
                f"{profile.base_url} knows no model {profile.model!r} or no {profile.base_url}/chat/completions"
                f" (404: {message}); correct model or base_url of the profile"
            )
        return RequestRefused(
            f"{profile.model} at {profile.base_url} refused the request ({response.status}: {message})"
        )

    def _shown(self, text: str) -> str:
        """Servers repeat what they were sent, the key too; it goes before a cut could leave a part of it."""
        return replies.short(text.replace(self._secret, "***") if self._secret else text)

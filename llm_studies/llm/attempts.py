"""The one retry layer: a body is sent until it is answered, refused for good, or out of time."""

import asyncio
import random
import time

from common.errors import KitharaError, OperatorError
from contracts.llm import Profile
from llm_studies.llm import replies
from llm_studies.llm.ask import CallFailed, UpstreamBusy
from llm_studies.llm.limits import Limiter
from llm_studies.llm.retries import backoff, retry_after, worth_repeating
from llm_studies.llm.wire import Response, Wire, WireError


class Attempts:
    """One call. Its deadline begins with the first permit of the limiter: the queue before it is ours to bear."""

    def __init__(
        self,
        profile: Profile,
        wire: Wire,
        limiter: Limiter,
        chance: random.Random,
        body: bytes,
        tokens: int,
        key: str | None,
        secret: str | None,
    ) -> None:
        self._profile, self._wire, self._limiter, self._chance = profile, wire, limiter, chance
        self._body, self._tokens, self._key, self._secret = body, tokens, key, secret
        self.made = 0
        self._reason = ""

    async def completion(self) -> replies.Completion:
        """Raises CallFailed, UpstreamBusy (told to wait past the deadline) or OperatorError (no call can succeed)."""
        await self._limiter.acquire(self._tokens)
        end = time.monotonic() + self._profile.deadline
        while True:
            self.made += 1
            asked_to_wait: float | None = None
            try:
                response = await self._sent(end)
                if response.status == 200:
                    return replies.decoded(response.body)
                if not worth_repeating(response.status):
                    raise self._refusal(response)
                self._reason = f"it answered {response.status} ({self._clean(replies.said(response.body))})"
                asked_to_wait = retry_after(response.retry_after)
            except (WireError, replies.Incomplete) as error:
                self._reason = self._clean(str(error))
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
            raise CallFailed(f"{where} failed {self.made} times, last because {self._reason}; run again to retry")
        if asked is not None and asked >= left:
            raise UpstreamBusy(
                f"{where} asks to wait {asked:.0f} s, longer than the deadline allows", retry_after=asked
            )
        wait = asked if asked is not None else backoff(self.made, self._chance)
        if wait >= left:
            raise CallFailed(f"{where} did not answer within {self._profile.deadline:g} s, because {self._reason}")
        await asyncio.sleep(wait)
        await self._limiter.acquire(self._tokens)
        if time.monotonic() >= end:
            raise CallFailed(f"{where} did not answer within {self._profile.deadline:g} s, because {self._reason}")

    def _refusal(self, response: Response) -> KitharaError:
        """For good: another attempt would be refused alike."""
        profile, message = self._profile, self._clean(replies.said(response.body))
        if response.status in (401, 403):
            remedy = f"correct {profile.api_key_env}" if profile.api_key_env else "set api_key_env in the profile"
            return OperatorError(f"{profile.base_url} refuses the key ({response.status}); {remedy}")
        if response.status == 404:
            return OperatorError(
                f"{profile.base_url} knows no model {profile.model!r} or no {profile.base_url}/chat/completions"
                f" (404: {message}); correct model or base_url of the profile"
            )
        return CallFailed(f"{profile.model} at {profile.base_url} refused the request ({response.status}: {message})")

    def _clean(self, text: str) -> str:
        """Servers repeat what they were sent, the key too."""
        return text.replace(self._secret, "***") if self._secret else text

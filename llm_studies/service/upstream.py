"""The configured language model: whether there is one, who may ask it, and what its failures mean to a caller."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import structlog

from common.errors import DeadlineExceeded, NotReady, OperatorError, QueueFull
from common.runtime.base import Call
from common.settings import Settings
from common.toml import read_file
from contracts.llm import ChatRequest, Price, Profile, Reply, Usage
from llm_studies.llm import prices
from llm_studies.llm.ask import Ask, CallFailed, RequestRefused, Unreachable, UpstreamBusy

_log: Any = structlog.get_logger("kithara.llm")

MISSING = NotReady(
    "no language model is configured: the operator starts the service with --llm PROFILE.toml (or KITHARA_LLM)",
    retry_after=None,
)

SAID: Mapping[type[Exception], str] = MappingProxyType(
    {
        OperatorError: "the language model refuses this service; tell its operator the request id",
        Unreachable: "the language model cannot be reached; ask again later, or tell the operator the request id",
        RequestRefused: "the language model refused the request; ask for less, or tell the operator the request id",
        CallFailed: "the language model gave no complete answer; ask again later",
        UpstreamBusy: "the language model is busy; ask again after the time in Retry-After",
    }
)
"""What a caller is told of a failure. Where the model runs, and what its server says, is the operator's business: it
goes to the log, under the request id."""


class Upstream:
    """Made when the service starts, so that a wrong profile ends it with one line; a resource of the application.

    Raises OperatorError for a profile or price file that cannot be read, and for a key that is not set.
    """

    def __init__(self, settings: Settings, env: Mapping[str, str] = os.environ) -> None:
        self.profile = None if settings.llm is None else read_file(Path(settings.llm), Profile, "--llm")
        self._client: Any = None
        self._price: Price | None = None
        self.currency = ""
        self._waiting, self._most = 0, max(1, settings.in_flight // 2)
        if self.profile is None:
            return
        # openai takes half a second and tens of megabytes, which a service without a language model saves.
        from llm_studies.llm.client import Client

        self._client = Client(self.profile, env)
        self._turns = asyncio.Semaphore(self.profile.concurrency)
        if settings.llm_prices is not None:
            found = prices.read(Path(settings.llm_prices), self.profile.model)
            self._price, self.currency = found.models[self.profile.model], found.currency

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.aclose()

    def configured(self) -> Profile:
        """The profile. Raises NotReady when there is none."""
        if self.profile is None:
            raise MISSING
        return self.profile

    @asynccontextmanager
    async def answering(self, call: Call) -> AsyncIterator[Ask]:
        """An ``Ask`` for one caller, until its deadline.

        Raises QueueFull when half of what the service takes already waits for the language model, DeadlineExceeded;
        the ``Ask`` raises CallFailed and UpstreamBusy.
        """
        most = self.configured().deadline
        if self._waiting >= self._most:
            raise QueueFull("as many requests as this process takes wait for the language model; ask again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0.0, call.remaining(most))):
                yield partial(self._ask, call.request_id)
        except TimeoutError:
            raise DeadlineExceeded(
                "the language model did not finish within the deadline; allow more or ask less"
            ) from None
        finally:
            self._waiting -= 1

    def cost(self, usage: Usage) -> float | None:
        """In ``currency``; None without a price file."""
        return None if self._price is None else prices.cost(usage, self._price)

    async def _ask(self, request_id: str, request: ChatRequest, repeat: int = 0) -> Reply:
        try:
            async with self._turns:
                return await self._client(request, repeat)
        except OperatorError as error:
            _log.error("language model refuses this service", reason=error.detail, request_id=request_id)
            raise CallFailed(SAID[OperatorError]) from None
        except (CallFailed, UpstreamBusy) as error:
            _log.warning("language model failed", reason=error.detail, request_id=request_id)
            raise type(error)(SAID[type(error)], retry_after=error.retry_after) from None

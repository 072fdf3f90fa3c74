"""The ``Ask`` of a running study: what is known is looked up, what is not is paid for once, within the limits."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from common.errors import KitharaError, OperatorError
from contracts.llm import CallRow, ChatRequest, Price, Profile, Reply, Usage
from contracts.studies import Limits
from llm_studies.llm.ask import Ask, CallFailed, CapReached
from llm_studies.llm.client import Called
from llm_studies.llm.journal import Index, Journal, Paid
from llm_studies.llm.keys import Keys
from llm_studies.llm.prices import cost
from llm_studies.llm.tokens import prompt_tokens

ROUNDING = 1 + 1e-9
"""Sums of costs in another order differ in the last digits."""


class Caller(Protocol):
    """Makes one real call, and says what it took. Raises only OperatorError."""

    async def call(self, request: ChatRequest, repeat: int = 0) -> Called: ...


class Plain:
    """Any ``Ask`` as a caller: one call is one attempt."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def call(self, request: ChatRequest, repeat: int = 0) -> Called:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return Called(await self._ask(request, repeat), None, 1, loop.time() - started)
        except OperatorError:
            raise
        except KitharaError as error:
            return Called(None, error, 1, loop.time() - started)


class Budget:
    """A call is begun only when the limits allow its worst case, beside the worst cases of all under way.

    The prompt of a worst case is our estimate, raised by the largest factor by which the server has counted more than
    we did so far; so only calls begun before the first reply can cost more than was reserved for them.
    """

    def __init__(self, limits: Limits, price: Price | None, paid: Paid) -> None:
        self._capped = limits.cost is not None
        self._cost = float("inf") if limits.cost is None else limits.cost * ROUNDING
        self._calls = float("inf") if limits.calls is None else limits.calls
        self._price, self._paid = price or Price(prompt=0.0, completion=0.0), paid
        self._factor = 1.0
        self._reserved, self._under_way = 0.0, 0
        self._settled = asyncio.Event()

    @property
    def spent(self) -> float:
        return cost(self._paid.usage, self._price)

    async def reserve(self, request: ChatRequest) -> float:
        """Waits for calls under way where their worst case is in the way. Raises CapReached when none is."""
        while True:
            worst = self._worst(request)
            if self._paid.calls + self._under_way >= self._calls or self.spent + self._reserved + worst > self._cost:
                if not self._under_way:
                    raise CapReached("the study has reached its limits; raise [limits] and run the same command again")
                self._settled.clear()
                await self._settled.wait()
                continue
            self._reserved += worst
            self._under_way += 1
            return worst

    def _worst(self, request: ChatRequest) -> float:
        if not self._capped:
            return 0.0
        prompt = round(self._factor * prompt_tokens(request))
        return cost(Usage(prompt_tokens=prompt, completion_tokens=request.max_tokens), self._price)

    def settle(self, worst: float, request: ChatRequest, reply: Reply | None) -> None:
        """After the call's row is in the journal, or when there will be none."""
        self._under_way -= 1
        self._reserved = self._reserved - worst if self._under_way else 0.0  # no rounding is left over
        if self._capped and reply is not None and not reply.estimated:
            self._factor = max(self._factor, reply.usage.prompt_tokens / prompt_tokens(request))
        self._settled.set()


class PayingAsk:
    """Journal, then other runs' journals, then a call under way for the same key, then a real call."""

    def __init__(
        self, profile: Profile, caller: Caller, journal: Journal, reuse: Sequence[Index], budget: Budget
    ) -> None:
        self._keys = Keys(profile)
        self._caller, self._journal, self._reuse, self._budget = caller, journal, reuse, budget
        self._under_way: dict[str, asyncio.Future[Reply]] = {}
        self._warned = False
        self.paid = self.reused = 0
        """Calls of this process: paid for, and taken from other runs."""

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        if repeat and request.temperature == 0.0 and not self._warned:
            self._warned = True
            logging.getLogger(__name__).warning("samples at temperature 0 are repeats of one text on most servers")
        key = self._keys(request, repeat)
        if (row := self._journal.find(key)) is not None and row.reply is not None:
            return row.reply
        if (same := self._under_way.get(key)) is not None:
            return await asyncio.shield(same)  # its other waiters stay when this one is cancelled
        if (known := self._known(key)) is not None:
            return known
        return await self._shared(key, request, repeat)

    def _known(self, key: str) -> Reply | None:
        """Another run's reply, copied into this run's journal so that this run is whole without the other."""
        for index in self._reuse:
            if (row := index.find(key)) is not None and row.reply is not None:
                self._journal.append(msgspec.structs.replace(row, reused=True))
                self.reused += 1
                return row.reply
        return None

    async def _shared(self, key: str, request: ChatRequest, repeat: int) -> Reply:
        """Pay, for every job that asks the same meanwhile."""
        future = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._pay(key, request, repeat)
        except BaseException as error:
            future.set_exception(error if isinstance(error, KitharaError) else CallFailed("the study was stopped"))
            future.exception()  # nobody may be waiting
            raise
        else:
            future.set_result(reply)
            return reply
        finally:
            del self._under_way[key]

    async def _pay(self, key: str, request: ChatRequest, repeat: int) -> Reply:
        worst = await self._budget.reserve(request)
        reply = None
        try:
            reply, error, attempts, seconds = await self._caller.call(request, repeat)
            self._journal.append(
                CallRow(
                    key=key,
                    repeat=repeat,
                    reply=reply,
                    error=str(error) if reply is None else None,
                    attempts=max(1, attempts),
                    seconds=round(seconds, 6),
                    time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                )
            )
            if reply is None:
                raise error or CallFailed("no reply")
            self.paid += 1
            return reply
        finally:
            self._budget.settle(worst, request, reply)

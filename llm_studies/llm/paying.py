"""The ``Ask`` of a running study: what is known is looked up, what is not is paid for once, within the limits."""

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from common.errors import KitharaError, OperatorError
from contracts.llm import CallRow, ChatRequest, Profile, Reply
from llm_studies.llm.ask import Ask, CallFailed
from llm_studies.llm.attempts import FREE, Purse
from llm_studies.llm.budget import Bill, Budget
from llm_studies.llm.client import Called
from llm_studies.llm.journal import Index, Journal
from llm_studies.llm.keys import Keys


class Caller(Protocol):
    """Makes one real call, and says what it took. Raises only OperatorError, CapReached where ``purse`` does."""

    async def call(self, request: ChatRequest, repeat: int = 0, purse: Purse = FREE) -> Called: ...


class Plain:
    """Any ``Ask`` as a caller: one call is one attempt."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def call(self, request: ChatRequest, repeat: int = 0, purse: Purse = FREE) -> Called:
        await purse.attempt()
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            return Called(await self._ask(request, repeat), None, 1, loop.time() - started)
        except OperatorError:
            raise
        except KitharaError as error:
            return Called(None, error, 1, loop.time() - started)


class PayingAsk:
    """Journal, then other runs' journals, then a call under way for the same key, then a real call."""

    def __init__(
        self,
        profile: Profile,
        caller: Caller,
        journal: Journal,
        reuse: Sequence[Index],
        budget: Budget,
        *,
        repeating: bool = False,
    ) -> None:
        """``repeating``: the study repeats requests at temperature 0 on purpose, which is else worth a warning."""
        self._keys = Keys(profile)
        self._caller, self._journal, self._reuse, self._budget = caller, journal, reuse, budget
        self._under_way: dict[str, asyncio.Future[Reply]] = {}
        self._warned = repeating
        self.paid = self.failed = self.reused = 0
        """Calls of this process: paid for, without a reply, and taken from other runs."""
        self.began: float | None = None
        """The first of them that was really made, by ``time.monotonic``."""

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
        bill, reply = Bill(self._budget, request), None
        self.began = self.began or time.monotonic()
        try:
            reply, error, *_ = called = await self._called(key, request, repeat, bill)
            self._append(key, repeat, bill, called)
            if reply is None:
                self.failed += 1
                raise error or CallFailed("no reply")
            self.paid += 1
            return reply
        finally:
            bill.close(reply)

    async def _called(self, key: str, request: ChatRequest, repeat: int, bill: Bill) -> Called:
        """What was billed is written down as well where the call is not ended: at a cap, a wrong key, a Ctrl-C."""
        try:
            return await self._caller.call(request, repeat, bill)
        except BaseException as stopped:
            if made := bill.lost.responses:
                why = CallFailed(str(stopped) or "the study was stopped")
                self._append(key, repeat, bill, Called(None, why, made, 0.0))
            raise

    def _append(self, key: str, repeat: int, bill: Bill, called: Called) -> None:
        self._journal.append(
            CallRow(
                key=key,
                repeat=repeat,
                reply=called.reply,
                error=str(called.error) if called.reply is None else None,
                attempts=max(1, called.attempts),
                lost=bill.lost if bill.lost.responses else None,
                seconds=round(called.seconds, 6),
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            )
        )

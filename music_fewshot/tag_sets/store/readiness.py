"""The tables of a store that has just been opened, or could not be."""

import asyncio
from time import monotonic
from typing import Any

import structlog
from sqlalchemy import URL

from common.errors import OperatorError, Unavailable
from music_fewshot.tag_sets.store.faults import RETRY_SECONDS
from music_fewshot.tag_sets.store.schema import prepare

_log: Any = structlog.get_logger("kithara.tag_sets")


class Readiness:
    """Prepares the database once; where it did not answer, again with a later request, at most every few seconds."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._done = False
        self._again = 0.0
        self._failure = ""
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """At the start. A database that does not answer yet may come later. Raises OperatorError."""
        try:
            await self._prepare()
        except Unavailable as error:
            self._fail(str(error))

    async def wait(self) -> None:
        """Before each use. Raises Unavailable."""
        if self._done:
            return
        async with self._lock:
            if not self._done and monotonic() >= self._again:
                try:
                    await self._prepare()
                except OperatorError as error:
                    # Found when nobody stands at the command line any more: the log says what to do.
                    _log.error("database of tag sets", reason=str(error))
                    self._fail("the database of tag sets cannot be used; tell the operator of this service")
                except Unavailable as error:
                    self._fail(str(error))
        if not self._done:
            raise Unavailable(self._failure, retry_after=RETRY_SECONDS)

    async def _prepare(self) -> None:
        await asyncio.to_thread(prepare, self._url)
        self._done = True

    def _fail(self, detail: str) -> None:
        self._failure, self._again = detail, monotonic() + RETRY_SECONDS

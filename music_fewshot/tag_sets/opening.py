"""The store, opened when the service starts; where that fails, the rest of the suite serves and it is tried again."""

import asyncio
import time
from typing import Any, Self

import structlog

from common.errors import KitharaError, OperatorError, Unavailable
from music_fewshot.tag_sets.store import Store

RETRY_SECONDS = 2.0
"""Between two attempts, however many ask."""
_log: Any = structlog.get_logger("kithara.tag_sets")


class Opening:
    """A resource of the application."""

    def __init__(self, url: str) -> None:
        """Raises OperatorError for a URL that is none."""
        self._store = Store(url)
        self._open = False
        self._failed = float("-inf")
        self._reason: KitharaError | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._attempt()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._store.__aexit__()

    async def store(self) -> Store:
        """The opened store. Raises Unavailable with the reason why it is not."""
        if not self._open:
            async with self._lock:
                if not self._open and time.monotonic() - self._failed >= RETRY_SECONDS:
                    await self._attempt()
            if not self._open:
                raise Unavailable(
                    f"tag sets cannot be served now: {self._reason or 'not opened'}", retry_after=RETRY_SECONDS
                )
        return self._store

    async def _attempt(self) -> None:
        try:
            await self._store.__aenter__()
        except (OperatorError, Unavailable) as error:
            if str(error) != str(self._reason):
                _log.error("tag sets cannot be served", reason=str(error))
            self._reason, self._failed = error, time.monotonic()
        else:
            if self._reason is not None:
                _log.info("tag sets are served again")
            self._open, self._reason = True, None

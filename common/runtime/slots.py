"""One version on its way to serving: load, open, prove; lost and found again."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np

from common.errors import Draining, KitharaError, NotReady, QueueFull, Unavailable
from common.registry.golden import read_golden
from common.runtime.base import Arrays, Backend, Call, Engine
from common.runtime.batcher import Stats
from common.runtime.proof import prove
from contracts.models import ModelCard

if TYPE_CHECKING:
    from common.registry.store import Repository

MOST_BACKOFF = 8
"""Between two attempts to open a version lie at most this many probe intervals."""


@runtime_checkable
class Counted(Protocol):
    """An engine that counts what it does."""

    def stats(self) -> Stats: ...


class Watched:
    """An engine whose owner hears when it becomes unavailable; being full is not being unavailable."""

    def __init__(self, engine: Engine, lost: Callable[[Unavailable], None]) -> None:
        self.signature = engine.signature
        self._engine, self._lost = engine, lost

    async def infer(self, inputs: Arrays, call: Call) -> dict[str, np.ndarray]:
        """See ``Engine.infer``."""
        try:
            return await self._engine.infer(inputs, call)
        except (QueueFull, Draining):
            raise
        except Unavailable as error:
            self._lost(error)
            raise

    async def close(self) -> None:
        """See ``Engine.close``."""
        await self._engine.close()

    def stats(self) -> Stats | None:
        """The engine's counters, when it counts."""
        return self._engine.stats() if isinstance(self._engine, Counted) else None


class Served(NamedTuple):
    """A version that answers."""

    card: ModelCard
    version: int
    engine: Watched
    folder: Path
    """Where the card's ``files`` lie; their digests were checked."""


class Slot:
    """A version of a model, and why it does not serve (``reason``; None while it serves).

    ``lost`` is called when a version that served becomes unavailable.
    """

    def __init__(
        self,
        repository: "Repository",
        backend: Backend,
        name: str,
        number: int,
        open_only: bool,
        lost: Callable[[], None],
    ) -> None:
        self._repository, self._backend, self._open_only, self._notify = repository, backend, open_only, lost
        self._name, self.number = name, number
        self.card: ModelCard | None = None
        self.reason: str | None = "is loading"
        self.left_out = False
        self.served: Served | None = None
        self._golden: tuple[Arrays, Arrays] = ({}, {})
        self._failures = 0
        self._next_try = 0.0

    @property
    def ready(self) -> bool:
        return self.reason is None

    def due(self) -> bool:
        """True when it is time for another attempt."""
        return not self.ready and not self.left_out and time.monotonic() >= self._next_try

    async def attempt(self, interval: float) -> None:
        """Open the version, or prove again the engine that was lost; ``reason`` tells how it went. Never raises.

        The next attempt is due after ``interval`` seconds; twice as long after each time that opening failed.
        """
        patience = 1 if self.served else min(2**self._failures, MOST_BACKOFF)
        self._next_try = time.monotonic() + interval * patience
        try:
            if self.served is None:
                self.served = await self._open()
            else:
                await prove(self.served.engine, *self._golden, self.served.card)
            self.reason, self._failures = None, 0
        except Exception as error:
            self._failures += 1
            self.reason = str(error) if isinstance(error, KitharaError) else f"{type(error).__name__}: {error}"

    async def _open(self) -> Served:
        version = await asyncio.to_thread(self._repository.load, self._name, self.number)
        self.card = version.card
        self.left_out = self._open_only and version.card.use != "open"
        if self.left_out:
            raise NotReady("is left out: its licence allows research only; serve with licences=all to include it")
        self._golden = await asyncio.to_thread(read_golden, version.golden)
        engine = Watched(await self._backend.open(version), self._lose)
        try:
            await prove(engine, *self._golden, version.card)
        except BaseException:
            await engine.close()
            raise
        return Served(version.card, self.number, engine, version.folder)

    def _lose(self, error: Unavailable) -> None:
        if self.ready:
            self.reason, self._next_try = str(error), 0.0
            self._notify()

    async def close(self) -> None:
        """Close the engine once what it accepted is answered."""
        if self.served:
            await self.served.engine.close()

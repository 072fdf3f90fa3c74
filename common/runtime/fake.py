"""A back end for tests: answers are computed by a function, failures are injected."""

import asyncio
from collections.abc import Callable, Mapping

import numpy as np

from common.errors import DeadlineExceeded, NotReady
from common.registry.layout import Version
from common.runtime.base import Arrays, Call
from contracts.models import Limits

Compute = Callable[[Arrays], Mapping[str, np.ndarray]]


class FakeEngine:
    """Answers with ``backend.outputs`` after ``backend.delay`` seconds."""

    def __init__(self, version: Version, backend: "FakeBackend") -> None:
        self.signature = version.card.signature
        self.label = version.label
        self._backend = backend
        self._limits: Limits = version.card.limits
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.closed = False
        self.calls = 0

    async def infer(self, inputs: Arrays, call: Call) -> dict[str, np.ndarray]:
        """See ``Engine.infer``."""
        if self.closed:
            raise NotReady(f"{self.label} is closed; ask again")
        if self._backend.failure is not None:
            raise self._backend.failure
        self.calls += 1
        self._active += 1
        self._idle.clear()
        try:
            remaining = call.remaining(self._limits.deadline)
            await asyncio.sleep(min(self._backend.delay, remaining))
            if self._backend.delay > remaining:
                raise DeadlineExceeded(f"{self.label} has no answer within the deadline")
            return dict(self._backend.outputs(inputs))
        finally:
            self._active -= 1
            if not self._active:
                self._idle.set()

    async def close(self) -> None:
        """See ``Engine.close``."""
        self.closed = True
        await self._idle.wait()


class FakeBackend:
    """Every version answers with ``outputs(inputs)``.

    ``failure``, while it is not None, is raised by every call; ``refused`` maps a version's label (``name@1``) to the
    reason why it cannot be opened. Both may change at any time. ``engines`` keeps all that were opened, in order.
    """

    def __init__(self, outputs: Compute, *, delay: float = 0.0) -> None:
        self.outputs = outputs
        self.delay = delay
        self.failure: Exception | None = None
        self.refused: dict[str, str] = {}
        self.engines: list[FakeEngine] = []

    async def open(self, version: Version) -> FakeEngine:
        """See ``Backend.open``."""
        if version.label in self.refused:
            raise NotReady(f"{version.label}: {self.refused[version.label]}")
        self.engines.append(FakeEngine(version, self))
        return self.engines[-1]

    async def close(self) -> None:
        """See ``Backend.close``."""

"""The interface between everything that serves and whatever runs the graphs."""

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from common.registry.layout import Version
from contracts.tensors import Signature

Arrays = Mapping[str, np.ndarray]
"""Tensors by name; axis 0 is the batch."""


class Timing:
    """Seconds spent per stage, filled while a request passes through; becomes ``Server-Timing``."""

    __slots__ = ("decode", "encode", "infer", "queue")

    def __init__(self) -> None:
        self.decode = self.queue = self.infer = self.encode = 0.0


class Call:
    """One request on its way through a back end: whose it is, until when it matters, how long each stage took."""

    __slots__ = ("deadline", "request_id", "timing")

    def __init__(self, request_id: str = "", deadline: float | None = None) -> None:
        self.request_id = request_id
        self.deadline = deadline
        """``time.monotonic()`` after which nobody wants the answer; None: the model's own limit decides."""
        self.timing = Timing()

    def remaining(self, most: float) -> float:
        """Seconds left, at most ``most``; zero or less when the deadline has passed."""
        return most if self.deadline is None else min(most, self.deadline - time.monotonic())


class Engine(Protocol):
    """One model version that is open for inference."""

    signature: Signature

    async def infer(self, inputs: Arrays, call: Call) -> dict[str, np.ndarray]:
        """Run the graph on validated inputs (names, dtypes and shapes are the signature's).

        Cancelling the awaiting task gives the work up wherever it stands. Batching is invisible: the rows of the
        answer are those of ``inputs``, whatever else ran beside them. It may run outside of any task: no
        ``asyncio.timeout`` and no ``current_task`` in it.

        Raises: QueueFull, DeadlineExceeded, NotReady, BackendFault, Unavailable.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, then free everything. Later calls to ``infer`` raise NotReady."""
        ...


class Backend(Protocol):
    """Opens engines: ``local`` (ONNX Runtime here), ``remote`` (Triton), ``fake`` (tests)."""

    async def open(self, version: Version) -> Engine:
        """Load one version. Raises NotReady with the reason when it cannot serve."""
        ...

    async def close(self) -> None:
        """Free what the engines share; every engine is closed before."""
        ...

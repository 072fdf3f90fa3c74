"""Inference on a Triton server: Triton batches, we carry deadlines, cancellation and failures through.

After a failure that says the server may have lost or changed a model, the next call first makes sure of it again and
has it loaded where need be. So a server that was killed and started again answers without a restart of ours.
"""

import asyncio
import re
import time

import grpc
import numpy as np

from common.errors import DeadlineExceeded, NotReady, OperatorError, QueueFull
from common.registry.layout import Version
from common.runtime.base import Arrays, Call
from common.runtime.batching import Layout
from common.runtime.buckets import bucketed, pad
from common.runtime.rpc import RemoteModel
from contracts.media import MIB
from contracts.models import ModelCard

MESSAGE_BYTES = 256 * MIB
CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # Connections of one's own: a shared pool keeps the back-off of an address whose channel is long gone.
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's own limit is two minutes between two looks for a server that went away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Behind one name may stand several servers with the same repository; one that is replaced changes its address.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # Pings only as often as any server permits. Their timeout is also TCP's for data that nobody acknowledges
    # (TCP_USER_TIMEOUT), and that is what notices a host which vanished without closing its connections.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)


class TritonBackend:
    """The models of a Triton server, over gRPC without TLS."""

    def __init__(self, address: str) -> None:
        """``address``: ``HOST:PORT`` of the server's gRPC. Raises OperatorError when it is not; does not connect."""
        if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):\d{1,5}", address):
            raise OperatorError(f"triton: {address!r} is not HOST:PORT of a Triton server's gRPC, e.g. 127.0.0.1:8001")
        self.address = address
        self._channel: grpc.aio.Channel | None = None
        self._dead: set[str] = set()

    async def open(self, version: Version) -> "TritonEngine":
        """Have the server load the version where it has not, and compare what it serves with the card.

        Raises NotReady with the reason: no server, a failed load, names, dtypes, dims or the batch size differ.
        """
        if self._channel is None:
            # Here and not in __init__: an asyncio channel belongs to the loop that runs when it is made.
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        model = RemoteModel(self._channel, self.address, version.card, self._dead)
        await model.ensure()
        return TritonEngine(model, version.card)

    async def close(self) -> None:
        """Close the connection. The server keeps its models: other clients may use them."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()


class TritonEngine:
    """One version on the server. At most ``limits.queue`` requests are under way at once."""

    def __init__(self, model: RemoteModel, card: ModelCard) -> None:
        self.signature = card.signature
        self._limits = card.limits
        self._model = model
        self._layout = Layout(card.signature)
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._check: asyncio.Task[None] | None = None

    async def infer(self, inputs: Arrays, call: Call) -> dict[str, np.ndarray]:
        """As ``Engine.infer``; the arrays of the answer are read-only.

        ``Timing.queue`` gets what passed before the request was sent, ``Timing.infer`` the round trip: the server does
        not say how much of it was its own queue.
        """
        if self._closed:
            raise NotReady(f"{self._model.where} is closed here")
        if self._under_way >= self._limits.queue:
            raise QueueFull(f"{self._model.where}: {self._under_way} requests are under way, the limit")
        self._under_way += 1
        self._idle.clear()
        try:
            return await self._infer(inputs, call)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _infer(self, inputs: Arrays, call: Call) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        if self._model.suspect:
            await self._make_sure(self._left(call))
        size = self._layout.size(inputs)
        sent_size = bucketed(size, self._limits)
        padded = pad(self.signature, self._layout.dims, inputs, size, sent_size)
        sent = time.perf_counter()
        call.timing.queue += sent - started
        try:
            outputs = await self._model.infer(padded, call.request_id, self._left(call))
        finally:
            call.timing.infer += time.perf_counter() - sent
        return outputs if size == sent_size else self._layout.split(outputs, [size])[0]

    def _left(self, call: Call) -> float:
        left = call.remaining(self._limits.deadline)
        if left <= 0:
            raise DeadlineExceeded(f"{self._model.where}: the deadline passed before the request was sent")
        return left

    async def _make_sure(self, seconds: float) -> None:
        """Wait for the one check that all callers share; it goes on when they leave. Raises NotReady, as ``open``."""
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._model.ensure())
            self._check.add_done_callback(_retrieve)
        check = self._check
        await asyncio.wait({check}, timeout=seconds)
        if not check.done():
            raise NotReady(f"{self._model.where} is being loaded again")
        check.result()

    async def close(self) -> None:
        """Wait for the requests under way, each of which ends with its deadline. The server keeps the version."""
        self._closed = True
        await self._idle.wait()
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})


def _retrieve(check: asyncio.Task[None]) -> None:
    """Every caller may have left: then nobody else looks at the outcome, and asyncio would complain."""
    if not check.cancelled():
        check.exception()

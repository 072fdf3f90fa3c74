"""Nothing is computed for a caller that does not wait any more: deadlines and cancellation reach the server."""

import asyncio
import time
from typing import Any

import pytest

from common.errors import DeadlineExceeded
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.remote import TritonBackend, TritonEngine

REQUESTS = 12
AT_MOST = 4
"""Executions: the one that ran when the others were given up, and those that the server had already handed on."""


@pytest.fixture
async def slow(repository: Repository, remote: TritonBackend) -> TritonEngine:
    return await remote.open(repository.load("slow", 1))


async def test_what_waits_in_the_server_when_its_deadline_passes_is_never_computed(
    slow: TritonEngine, smalls: Any, counted: Any
) -> None:
    before = (await counted("slow", 1.0))[1]
    calls = [slow.infer(smalls["slow"].inputs, Call(deadline=time.monotonic() + 0.05)) for _ in range(REQUESTS)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {DeadlineExceeded}
    assert (await counted("slow", 1.0))[1] - before <= AT_MOST


async def test_what_waits_in_the_server_when_its_caller_leaves_is_never_computed(
    slow: TritonEngine, smalls: Any, counted: Any
) -> None:
    before = (await counted("slow", 1.0))[1]
    tasks = [asyncio.create_task(slow.infer(smalls["slow"].inputs, Call())) for _ in range(REQUESTS)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    assert (await counted("slow", 1.0))[1] - before <= AT_MOST
    await slow.infer(smalls["slow"].inputs, Call())

import asyncio
from typing import Any

import numpy as np
import pytest

from common.errors import DeadlineExceeded, NotReady, Unavailable
from common.runtime.base import Call
from common.runtime.fake import FakeBackend
from contracts.models import Limits


def double(inputs: Any) -> dict[str, np.ndarray]:
    return {"y": inputs["x"] * 2}


X = {"x": np.ones((1, 4), np.float32)}


async def test_computes_fails_and_recovers_as_told(publish: Any) -> None:
    backend = FakeBackend(double)
    engine = await backend.open(publish("mlp"))
    assert (await engine.infer(X, Call()))["y"].tolist() == [[2, 2, 2, 2]]
    backend.failure = Unavailable("gone")
    with pytest.raises(Unavailable, match="gone"):
        await engine.infer(X, Call())
    backend.failure = None
    await engine.infer(X, Call())
    assert engine.calls == 2


async def test_a_refused_version_does_not_open(publish: Any) -> None:
    backend = FakeBackend(double)
    backend.refused["mlp@1"] = "no memory"
    with pytest.raises(NotReady, match="mlp@1: no memory"):
        await backend.open(publish("mlp"))


async def test_a_slow_answer_meets_the_deadline(publish: Any) -> None:
    engine = await FakeBackend(double, delay=10).open(publish("mlp", limits=Limits(deadline=0.01)))
    with pytest.raises(DeadlineExceeded):
        await engine.infer(X, Call())


async def test_close_waits_for_what_runs(publish: Any) -> None:
    engine = await FakeBackend(double, delay=0.02).open(publish("mlp"))
    running = asyncio.create_task(engine.infer(X, Call()))
    await asyncio.sleep(0)
    await engine.close()
    assert running.done()
    with pytest.raises(NotReady):
        await engine.infer(X, Call())

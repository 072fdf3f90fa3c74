import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.errors import BackendFault, DeadlineExceeded, NotReady
from common.runtime import local
from common.runtime.base import Call
from common.runtime.batching import Layout
from common.runtime.cost import Load
from common.runtime.local import LocalBackend, LocalEngine, calibrate
from common.runtime.sessions import open_graph
from contracts.models import Limits

KINDS = ["mlp", "lstm", "masked"]


@pytest.fixture
async def backend() -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(2, "cpu")
    yield backend
    await backend.close()


@pytest.fixture
def batched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send even the smallest requests through the batcher."""
    monkeypatch.setattr(local, "INLINE_SECONDS", 0.0)


def close_to(outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert outputs.keys() == expected.keys()
    for name in outputs:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-5, strict=True)


SHAPES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9)), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes=SHAPES)
def test_merged_equals_alone(publish: Any, graphs: Any, kind: Any, shapes: list[tuple[int, int]]) -> None:
    graph = open_graph(publish(kind), "cpu")
    layout = Layout(graphs.signatures[kind])
    requests = [graphs.request(kind, rows, tokens, seed) for seed, (rows, tokens) in enumerate(shapes)]
    sizes = [layout.size(request) for request in requests]
    together = layout.split(graph.run(layout.merge(requests, sizes)), sizes)
    for answer, request in zip(together, requests, strict=True):
        close_to(answer, graph.run(request))


@pytest.mark.usefixtures("batched")
@pytest.mark.parametrize("kind", KINDS)
async def test_many_callers_get_their_own_answers(backend: LocalBackend, publish: Any, graphs: Any, kind: Any) -> None:
    version = publish(kind)
    engine = await backend.open(version)
    requests = [graphs.request(kind, 1 + i % 2, 1 + i % 7, i) for i in range(40)]
    answers = await asyncio.gather(*(engine.infer(request, Call()) for request in requests))
    alone = open_graph(version, "cpu")
    for answer, request in zip(answers, requests, strict=True):
        close_to(answer, alone.run(request))
    stats = engine.stats()
    assert stats.rows == 60
    assert stats.batches < 40
    await engine.close()


async def test_masked_mean_against_numpy(backend: LocalBackend, publish: Any, graphs: Any) -> None:
    engine = await backend.open(publish("masked"))
    request = graphs.request("masked", 2, 6, 1)
    request["mask"][1, 4:] = 0
    answer = await engine.infer(request, Call())
    assert answer["mean"][1] == pytest.approx(request["x"][1, :4].mean(axis=0), abs=1e-5)


async def test_a_short_model_runs_at_once_in_the_event_loop(backend: LocalBackend, publish: Any, graphs: Any) -> None:
    """No other task gets a turn between the call and its answer."""
    engine = await backend.open(publish("mlp"))
    call = Call()
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another")
    answer = await engine.infer(graphs.request("mlp", 1, 1, 0), call)
    assert not turns
    assert answer["y"].shape == (1, 3)
    assert call.timing.infer > 0
    assert engine.stats()[:4] == (0, 0, 1, 1)


async def test_inline_after_the_deadline_is_not_computed(backend: LocalBackend, publish: Any, graphs: Any) -> None:
    engine = await backend.open(publish("mlp"))
    with pytest.raises(DeadlineExceeded):
        await engine.infer(graphs.request("mlp", 1, 1, 0), Call(deadline=time.monotonic()))
    assert engine.stats().batches == 0
    assert engine.stats().expired == 1


@pytest.mark.parametrize("inline", [True, False])
async def test_a_fault_of_the_graph_is_the_back_ends(
    backend: LocalBackend, publish: Any, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "INLINE_SECONDS", 1.0 if inline else 0.0)
    engine = await backend.open(publish("table"))
    good = engine.infer({"ids": np.array([1])}, Call())
    bad = engine.infer({"ids": np.array([99])}, Call())
    answer, fault = await asyncio.gather(good, bad, return_exceptions=True)
    assert isinstance(answer, dict)
    assert isinstance(fault, BackendFault)
    assert "table@1 failed on this input" in str(fault)


async def closed(engine: LocalEngine, request: dict[str, np.ndarray]) -> None:
    await engine.close()
    with pytest.raises(NotReady):
        await engine.infer(request, Call())


async def test_a_closed_engine_refuses(backend: LocalBackend, publish: Any, graphs: Any) -> None:
    await closed(await backend.open(publish("mlp")), graphs.request("mlp", 1, 1, 0))


@pytest.mark.usefixtures("batched")
async def test_close_finishes_what_was_accepted(backend: LocalBackend, publish: Any, graphs: Any) -> None:
    engine = await backend.open(publish("mlp", limits=Limits(max_rows=2)))
    request = graphs.request("mlp", 1, 1, 0)
    tasks = [asyncio.create_task(engine.infer(request, Call())) for _ in range(20)]
    await asyncio.sleep(0)
    await closed(engine, request)
    assert all(task.done() for task in tasks)
    assert all(task.result()["y"].shape == (1, 3) for task in tasks)


async def test_golden_tensors_that_the_graph_refuses(backend: LocalBackend, publish: Any) -> None:
    version = publish("table")
    from common.registry.golden import write_golden

    write_golden(version.golden, {"ids": np.array([77])}, {"y": np.zeros((1, 3), np.float32)})
    with pytest.raises(NotReady, match="table@1: the graph fails on its golden inputs"):
        await backend.open(version)


def test_calibration_keeps_to_the_limits(publish: Any, graphs: Any) -> None:
    class Slow:
        """Five positions a row, two milliseconds each."""

        def __init__(self) -> None:
            self.rows: set[int] = set()

        def run(self, inputs: Any) -> dict[str, np.ndarray]:
            self.rows.add(len(inputs["x"]))
            time.sleep(0.002 * inputs["x"].shape[0])
            return {}

    slow: Any = Slow()
    request = graphs.request("lstm", 2, 5, 0)
    model = calibrate(slow, Layout(graphs.signatures["lstm"]), request, Limits(max_rows=64, max_cost=22))
    assert slow.rows == {1, 2, 4}
    assert model.seconds(Load(4, 5)) > model.seconds(Load(1, 5)) > 0.0015

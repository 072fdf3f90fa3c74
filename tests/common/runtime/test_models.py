import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from common.errors import Draining, Invalid, NotReady, QueueFull, Unavailable, Unknown
from common.runtime.base import Call
from common.runtime.fake import FakeBackend
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.models import Limits

SHORT = Limits(deadline=0.2)
"""The old version lingers as long as its longest request may take."""


def scaled(graphs: Any, factor: float = 1.0) -> Callable[[Any], dict[str, np.ndarray]]:
    return lambda inputs: {"y": (inputs["x"] @ graphs.weights * np.float32(factor)).astype(np.float32)}


@pytest.fixture
def fake(graphs: Any) -> FakeBackend:
    return FakeBackend(scaled(graphs))


Start = Callable[..., Any]


@pytest.fixture
async def start(repository: Any) -> AsyncIterator[Start]:
    started: list[Models] = []

    async def begin(backend: Any, **options: Any) -> Models:
        models = Models(repository, backend, probe_every=0.02, **options)
        started.append(models)
        await models.start()
        return models

    yield begin
    for models in started:
        await models.stop(1.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def request(graphs: Any) -> dict[str, np.ndarray]:
    return graphs.request("mlp", 2, 1, 5)


async def test_names_numbers_and_aliases_lead_to_their_version(
    start: Start, repository: Any, publish: Any, fake: FakeBackend
) -> None:
    repository.add(publish("mlp", 1), publish("mlp", 2), publish("mlp", 3))
    repository.set_alias("mlp", "stable", 1)
    models = await start(fake)
    assert [models.served(ref).version for ref in ("mlp", "mlp@3", "mlp@stable", "mlp@1")] == [3, 3, 1, 1]
    assert models.served("mlp@stable").card.description == "mlp version 1"
    with pytest.raises(Unknown, match=r"'mlp' is not served as '2'; served: 1, 3, stable"):
        models.served("mlp@2")
    with pytest.raises(Unknown, match="no model 'mpl' is served here; served: mlp"):
        models.served("mpl")
    (summary,) = models.summaries()
    assert (summary.version, summary.versions, summary.aliases) == (3, (1, 3), {"stable": 1})
    assert models.detail("mlp@stable").card.version == 1
    assert models.detail("mlp").summary == summary


async def test_the_alias_default_decides_which_version_is_current(
    start: Start, repository: Any, publish: Any, fake: FakeBackend
) -> None:
    repository.add(publish("mlp", 1), publish("mlp", 2))
    repository.set_alias("mlp", "default", 1)
    models = await start(fake)
    assert models.served("mlp").version == 1
    assert len(fake.engines) == 1


async def test_infer_checks_runs_and_says_which_card_answered(
    start: Start, repository: Any, publish: Any, graphs: Any
) -> None:
    repository.add(publish("mlp"))
    models = await start(LocalBackend(1, "cpu"))
    outputs, card = await models.infer("mlp", request(graphs), Call())
    assert outputs["y"] == pytest.approx(request(graphs)["x"] @ graphs.weights, abs=1e-5)
    assert card.name == "mlp"
    with pytest.raises(Invalid):
        await models.infer("mlp", {"x": np.zeros((1, 5), np.float32)}, Call())
    assert models.stats()["mlp@1"].rows == 4


async def test_one_bad_model_does_not_hold_up_the_others(start: Start, repository: Any, publish: Any) -> None:
    broken = publish("mlp", name="broken")
    broken.graph.write_bytes(b"junk")
    repository.add(publish("mlp"), broken, publish("mlp", name="moved", shift=0.5), publish("mlp", name="torn"))
    repository.damaged["torn@1"] = "card.json: limits.queue must be at least 1"
    models = await start(LocalBackend(1, "cpu"), names=["mlp", "broken", "moved", "torn", "absent"])
    status = models.status()
    assert status["mlp"].ready
    assert status["mlp"].reason is None
    reasons = {name: status[name].reason or "" for name in ("broken", "moved", "torn", "absent")}
    assert not any(status[name].ready for name in reasons)
    assert "cannot be loaded" in reasons["broken"]
    assert "golden output 'y' differs by 5.0e-01" in reasons["moved"]
    assert "limits.queue" in reasons["torn"]
    assert "absent" in reasons["absent"]
    for name in reasons:
        with pytest.raises(NotReady) as caught:
            models.served(name)
        assert reasons[name] in str(caught.value)
        assert caught.value.retry_after == 0.02
    with pytest.raises(NotReady):
        models.detail("torn")
    assert {summary.name for summary in models.summaries()} == {"mlp", "broken", "moved"}


async def test_a_model_that_is_mended_becomes_ready_by_itself(
    start: Start, repository: Any, publish: Any, fake: FakeBackend
) -> None:
    repository.add(publish("mlp"))
    fake.refused["mlp@1"] = "no memory"
    models = await start(fake)
    assert models.status()["mlp"].reason == "mlp@1: no memory"
    fake.refused.clear()
    await until(lambda: models.status()["mlp"].ready)
    assert models.served("mlp").version == 1


async def test_an_engine_that_is_lost_is_not_ready_until_it_answers_again(
    start: Start, repository: Any, publish: Any, fake: FakeBackend, graphs: Any
) -> None:
    repository.add(publish("mlp"))
    models = await start(fake)
    fake.failure = Unavailable("the server is gone")
    with pytest.raises(Unavailable):
        await models.infer("mlp", request(graphs), Call())
    with pytest.raises(NotReady, match="the server is gone"):
        models.served("mlp")
    await asyncio.sleep(0.05)
    assert not models.status()["mlp"].ready
    fake.failure = None
    await until(lambda: models.status()["mlp"].ready)
    await models.infer("mlp", request(graphs), Call())
    assert len(fake.engines) == 1


async def test_a_full_queue_is_not_a_lost_engine(
    start: Start, repository: Any, publish: Any, fake: FakeBackend, graphs: Any
) -> None:
    repository.add(publish("mlp"))
    models = await start(fake)
    fake.failure = QueueFull("full")
    with pytest.raises(QueueFull):
        await models.infer("mlp", request(graphs), Call())
    assert models.status()["mlp"].ready


async def test_models_for_research_are_left_out_on_request(
    start: Start, repository: Any, publish: Any, fake: FakeBackend
) -> None:
    repository.add(publish("mlp"), publish("mlp", name="closed", use="research"))
    models = await start(fake, licences="open")
    assert models.status().keys() == {"mlp"}
    assert [summary.name for summary in models.summaries()] == ["mlp"]
    with pytest.raises(Unknown):
        models.served("closed")
    assert (await start(fake)).served("closed").card.use == "research"


async def test_reload_switches_and_closes_the_old_version(
    start: Start, repository: Any, publish: Any, fake: FakeBackend
) -> None:
    repository.add(publish("mlp", 1, limits=SHORT))
    models = await start(fake)
    repository.add(publish("mlp", 2))
    status = await models.reload("mlp")
    assert (status.ready, status.version, status.reason) == (True, 2, None)
    assert models.served("mlp").version == 2
    with pytest.raises(Unknown):
        models.served("mlp@1")
    assert not fake.engines[0].closed
    await until(lambda: fake.engines[0].closed)
    assert not fake.engines[1].closed


async def test_reload_finds_models_published_since(
    start: Start, repository: Any, publish: Any, fake: FakeBackend
) -> None:
    repository.add(publish("mlp"))
    models = await start(fake)
    with pytest.raises(Unknown):
        await models.reload("late")
    repository.add(publish("mlp", name="late"))
    assert (await models.reload("late")).ready
    assert models.served("late").version == 1


@pytest.mark.parametrize("damage", ["golden", "graph", "card"])
async def test_a_failed_candidate_changes_nothing(start: Start, repository: Any, publish: Any, damage: str) -> None:
    repository.add(publish("mlp", 1))
    models = await start(LocalBackend(1, "cpu"))
    before = models.served("mlp")
    candidate = publish("mlp", 2, shift=0.5 if damage == "golden" else 0.0)
    repository.add(candidate)
    if damage == "graph":
        candidate.graph.write_bytes(b"junk")
    if damage == "card":
        repository.damaged["mlp@2"] = "card.json is no JSON"
    status = await models.reload("mlp")
    reason = {"golden": "golden output 'y'", "graph": "cannot be loaded", "card": "card.json is no JSON"}[damage]
    assert (status.ready, status.version) == (True, 1)
    assert status.reason is not None
    assert status.reason.startswith("version 2 was refused: ")
    assert reason in status.reason
    assert models.served("mlp") is before
    with pytest.raises(Unknown):
        models.served("mlp@2")


async def test_a_refused_version_is_taken_once_it_is_mended(start: Start, repository: Any, publish: Any) -> None:
    repository.add(publish("mlp", 1))
    models = await start(LocalBackend(1, "cpu"))
    repository.add(publish("mlp", 2, shift=0.5))
    await models.reload("mlp")
    repository.add(publish("mlp", 2))
    status = await models.reload("mlp")
    assert (status.version, status.reason) == (2, None)


@pytest.mark.parametrize("inline", [True, False])
async def test_reload_under_load_fails_no_request(
    start: Start, repository: Any, publish: Any, graphs: Any, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.runtime.local.INLINE_SECONDS", 1.0 if inline else 0.0)
    repository.add(publish("mlp", 1, limits=SHORT))
    models = await start(LocalBackend(2, "cpu"))
    versions: list[int] = []
    done = False

    async def caller() -> None:
        while not done:
            served = models.served("mlp")
            await asyncio.sleep(0.002)  # decoding, with the old engine already in hand
            await served.engine.infer(request(graphs), Call())
            versions.append(served.version)

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    for number in (2, 3, 4):
        await asyncio.sleep(0.05)
        repository.add(publish("mlp", number, limits=SHORT))
        assert (await models.reload("mlp")).version == number
    await asyncio.sleep(0.3)
    done = True
    await asyncio.gather(*callers)
    assert {1, 4} <= set(versions)


async def test_before_the_start_and_after_the_stop(repository: Any, publish: Any, fake: FakeBackend) -> None:
    repository.add(publish("mlp"))
    models = Models(repository, fake)
    with pytest.raises(NotReady, match="being opened"):
        models.served("mlp")
    await models.start()
    models.served("mlp")
    await models.stop(1.0)
    with pytest.raises(Draining):
        models.served("mlp")
    assert all(engine.closed for engine in fake.engines)


async def test_stop_finishes_what_was_accepted(repository: Any, publish: Any, fake: FakeBackend, graphs: Any) -> None:
    repository.add(publish("mlp"))
    models = Models(repository, fake)
    await models.start()
    fake.delay = 0.05
    running = asyncio.create_task(models.infer("mlp", request(graphs), Call()))
    await asyncio.sleep(0.01)
    await models.stop(5.0)
    assert running.done()
    assert running.result()[0]["y"].shape == (2, 3)


async def test_stop_waits_no_longer_than_it_may(repository: Any, publish: Any, fake: FakeBackend, graphs: Any) -> None:
    repository.add(publish("mlp"))
    models = Models(repository, fake)
    await models.start()
    fake.delay = 60
    running = asyncio.create_task(models.infer("mlp", request(graphs), Call()))
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        await models.stop(0.02)
    assert not running.done()
    running.cancel()

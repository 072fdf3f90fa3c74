"""Our supervision over a real server: killed, restarted, broken, and with new versions."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import aio

from common.errors import KitharaError, NotReady, Unavailable
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.models import Models
from common.runtime.remote import TritonBackend
from deploy.triton.server import Server

ONES = {"x": np.ones((1, 4), np.float32)}


@pytest.fixture
async def models(own: Server, tmp_path: Path) -> AsyncIterator[Models]:
    models = Models(Repository(tmp_path / "models"), TritonBackend(own.address), probe_every=0.2)
    await models.start()
    yield models
    await models.stop(drain=1.0)


async def ask(models: Models, ref: str = "affine") -> float:
    """The factor that the model applies."""
    outputs, _ = await models.infer(ref, ONES, Call(deadline=time.monotonic() + 3))
    return float(outputs["y"][0, 0])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def ready(models: Models) -> None:
    await until(lambda: models.status()["affine"].ready)


async def test_a_server_killed_under_load_is_503_until_it_is_back_without_a_restart_of_ours(
    own: Server, models: Models
) -> None:
    answers: list[float] = []
    failures: list[Exception] = []
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            try:
                answers.append(await ask(models))
            except KitharaError as error:
                failures.append(error)
                await asyncio.sleep(0.01)

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    await until(lambda: len(answers) >= 50)
    own.kill()
    assert not list(Path("/dev/shm").glob(f"kithara_*_{own.ports.grpc}_*"))
    await until(lambda: bool(failures) and not models.status()["affine"].ready)
    with pytest.raises(NotReady) as caught:
        await ask(models)
    assert caught.value.status == 503
    assert caught.value.retry_after is not None
    own.start()
    await asyncio.to_thread(own.wait)
    await ready(models)
    before = len(answers)
    await until(lambda: len(answers) >= before + 50)
    stop.set()
    await asyncio.gather(*callers)
    assert set(answers) == {2.0}
    assert {type(failure) for failure in failures} <= {Unavailable, NotReady}


async def test_a_server_that_starts_after_us_is_found(own: Server, tmp_path: Path) -> None:
    own.kill()
    models = Models(Repository(tmp_path / "models"), TritonBackend(own.address), probe_every=0.2)
    await models.start()
    status = models.status()["affine"]
    assert not status.ready
    assert own.address in str(status.reason)
    own.start()
    await ready(models)
    assert await ask(models) == 2.0
    await models.stop(drain=1.0)


async def test_a_model_whose_process_died_is_not_ready_here_though_the_server_calls_it_ready(
    own: Server, models: Models
) -> None:
    os.kill(stub(own, "affine"), signal.SIGKILL)
    with pytest.raises(Unavailable, match="not healthy"):
        await ask(models)
    status = models.status()["affine"]
    async with aio.InferenceServerClient(own.address) as client:
        assert await client.is_server_ready()
        assert not status.ready
        assert "not healthy" in str(status.reason)
    await ready(models)
    assert await ask(models) == 2.0


def stub(server: Server, model: str) -> int:
    """Process id of the stub that runs the model's version 1."""
    assert server.process is not None
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            group = os.getpgid(int(folder.name))
        except OSError:
            continue
        if group == server.process.pid and any(word.endswith(f"/{model}/1/model.onnx") for word in words):
            return int(folder.name)
    raise AssertionError(f"no stub of {model}")


async def test_a_new_version_is_loaded_and_switched_to_while_the_old_one_answers(
    own: Server, models: Models, tmp_path: Path, put: Callable[[Any, Path], int], scaled: Callable[[float], Any]
) -> None:
    answers: list[float] = []
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            answers.append(await ask(models))

    callers = [asyncio.create_task(caller()) for _ in range(4)]
    await until(lambda: len(answers) >= 20)
    assert put(scaled(3.0), tmp_path / "models") == 2
    status = await models.reload("affine")
    assert (status.ready, status.version) == (True, 2)
    before = len(answers)
    await until(lambda: len(answers) >= before + 20)
    stop.set()
    await asyncio.gather(*callers)
    switch = answers.index(3.0)
    assert set(answers[:switch]) == {2.0}
    assert set(answers[switch + len(callers) :]) == {3.0}


async def test_a_version_with_another_graph_on_the_server_is_refused_and_the_old_one_stays(
    own: Server, models: Models, tmp_path: Path, put: Callable[[Any, Path], int], scaled: Callable[[float], Any]
) -> None:
    """The server's copy of version 2 is damaged before it loads it, ours is whole: a self-check finds it."""
    put(scaled(3.0), tmp_path / "models")
    folder = tmp_path / "models" / "affine"
    whole = (folder / "2" / "model.onnx").read_bytes()
    (folder / "2" / "model.onnx").write_bytes((folder / "1" / "model.onnx").read_bytes())
    async with aio.InferenceServerClient(own.address) as client:
        await client.load_model("affine")
    (folder / "2" / "model.onnx").write_bytes(whole)
    status = await models.reload("affine")
    assert (status.ready, status.version) == (True, 1)
    assert "golden output 'y' differs by" in str(status.reason)
    assert await ask(models) == 2.0


async def test_a_configuration_that_is_not_the_graphs_is_refused_by_our_server_backend(
    own: Server, tmp_path: Path, put: Callable[[Any, Path], int], scaled: Callable[[float], Any]
) -> None:
    root = tmp_path / "models"
    wrong = {
        "dims: [ 4 ]": ("dims: [ 5 ]", r"has the dims \[-1, 5\] in config.pbtxt"),
        "TYPE_FP32": ("TYPE_INT64", r"is TYPE_INT64 in config.pbtxt, tensor\(float\) in the graph"),
        '"x"': ('"z"', r"config.pbtxt has the inputs \['z'\], the graph has \['x'\]"),
    }
    config = root / "affine" / "config.pbtxt"
    text = config.read_text()
    version = Repository(root).load("affine", 1)
    backend = TritonBackend(own.address)
    async with aio.InferenceServerClient(own.address) as client:
        for found, (instead, message) in wrong.items():
            await client.unload_model("affine")
            changed = text.replace(found, instead)
            assert changed != text
            config.write_text(changed)
            with pytest.raises(NotReady, match=message):
                await backend.open(version)
    config.write_text(text)
    engine = await backend.open(version)
    np.testing.assert_array_equal((await engine.infer(ONES, Call()))["y"], 2 * ONES["x"])
    await backend.close()

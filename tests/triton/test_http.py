"""``kithara serve --backend remote`` beside ``kithara serve``: the same requests, the same answers."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.remote import TritonBackend
from contracts.tensors import BATCH
from deploy.app import SHIPPED
from deploy.triton.server import Server, running

Serve = Callable[..., AbstractContextManager[httpx.Client]]
TOKENS = 7
"""Size of every dynamic dimension."""
WAV = "audio/wav"
SOUNDS = {"low": 110.0, "middle": 440.0, "high": 1_760.0}
"""Hertz."""
TWO_ROWS = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [1, 2, 3, 4, -1, 0, 0.5, 8]}]}


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """``with serve(models, *flags) as client``: the suite as a process of its own, started and not yet ready."""

    @contextlib.contextmanager
    def started(models: Path, *flags: str) -> Iterator[httpx.Client]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "deploy.cli", "serve", "--port", str(port)]
        env = {key: value for key, value in os.environ.items() if not key.startswith("KITHARA_")}
        with (tmp_path / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--models", str(models), "--unready-seconds", "0", *flags],
                env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                until(lambda: process.poll() is not None or status(client, "/livez") == 200)
                assert process.poll() is None, (tmp_path / f"{port}.log").read_text()
                yield client
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    return started


def status(client: httpx.Client, path: str) -> int:
    """0 while nobody listens."""
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0


def answer(client: httpx.Client) -> Any:
    response = client.post("/v2/models/affine/infer", json=TWO_ROWS)
    assert response.status_code == 200, response.text
    return [output["data"] for output in response.json()["outputs"]]


def test_a_killed_server_is_503_with_retry_after_and_comes_back_without_a_restart_of_ours(
    own: Server, tmp_path: Path, serve: Serve
) -> None:
    models = tmp_path / "models"
    with serve(models) as local, serve(models, "--backend", "remote", "--triton", own.address) as remote:
        for client in (local, remote):
            until(lambda client=client: status(client, "/readyz") == 200)
        assert answer(remote) == answer(local) == [[2, 4, 6, 8, -2, 0, 1, 16]]
        own.kill()
        for _ in range(3):
            refused = remote.post("/v2/models/affine/infer", json=TWO_ROWS)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
        unready = remote.get("/readyz")
        assert unready.status_code == 503
        assert own.address in unready.json()["models"]["affine"]["reason"]
        assert status(remote, "/livez") == 200
        own.start()
        own.wait()
        until(lambda: status(remote, "/readyz") == 200)
        assert answer(remote) == answer(local)


@pytest.fixture(scope="module")
def shipped(python: str) -> Iterator[Server]:
    """A server on the starter models, as they are in the repository."""
    with running(SHIPPED, python) as server:
        yield server


async def test_every_starter_model_answers_as_in_this_process(shipped: Server) -> None:
    repository, here, there = Repository(SHIPPED), LocalBackend(1, "cpu"), TritonBackend(shipped.address)
    rng = np.random.default_rng(0)
    for name in repository.names():
        version = repository.load(*repository.resolve(name))
        local, remote = await here.open(version), await there.open(version)
        for rows in (1, 3, version.card.limits.max_rows):
            inputs = {
                t.name: rng.normal(
                    size=[rows if d == BATCH else TOKENS if isinstance(d, str) else d for d in t.dims]
                ).astype(t.dtype)
                for t in version.card.signature.inputs
            }
            expected, answer = await local.infer(inputs, Call()), await remote.infer(inputs, Call())
            for key, array in expected.items():
                np.testing.assert_allclose(answer[key], array, rtol=1e-4, atol=1e-4, err_msg=f"{name}: {key}")
        await local.close()
        await remote.close()
    await here.close()
    await there.close()


def test_an_image_is_classified_as_by_the_local_back_end(shipped: Server, serve: Serve) -> None:
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 6:22] = 180
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    answers = []
    for flags in ((), ("--backend", "remote", "--triton", shipped.address)):
        with serve(SHIPPED, *flags) as client:
            until(lambda client=client: status(client, "/readyz") == 200)
            response = client.post(
                "/v1/vision/classify", content=file.getvalue(), headers={"content-type": "image/png"}
            )
            assert response.status_code == 200, response.text
            answers.append(response.json())
    local, remote = answers
    assert [remote[key] for key in ("label", "leaf", "model", "version")] == [
        local[key] for key in ("label", "leaf", "model", "version")
    ]
    for ours, theirs in zip(local["scores"], remote["scores"], strict=True):
        assert theirs["label"] == ours["label"]
        assert theirs["score"] == pytest.approx(ours["score"], abs=1e-5)


def test_clips_get_the_tags_that_they_get_from_the_local_back_end(
    shipped: Server, serve: Serve, tmp_path: Path
) -> None:
    """Clips of different length: windows of several of them share an execution on the server."""
    clips = {f"{name}-{seconds}": sound(hertz, seconds) for name, hertz in SOUNDS.items() for seconds in (1.0, 12.5)}
    tag_set = {"name": "t", "items": [{"clip": name, "tags": name.split("-")} for name in clips]}
    files = {name: (name, data, WAV) for name, data in clips.items()}
    answers = []
    for flags in ((), ("--backend", "remote", "--triton", shipped.address)):
        database = f"sqlite+aiosqlite:///{tmp_path}/{len(answers)}.sqlite3"
        with serve(SHIPPED, "--database", database, *flags) as client:
            until(lambda client=client: status(client, "/readyz") == 200)
            made = client.post("/v1/music/tag-sets", data={"tag_set": json.dumps(tag_set)}, files=files)
            assert made.status_code == 201, made.text
            told = client.post(f"{made.headers['location']}/tag", files=files | {"new": ("new", sound(450, 8.0), WAV)})
            assert told.status_code == 200, told.text
            answers.append(told.json()["clips"])
    for here, there in zip(*answers, strict=True):
        assert (there["clip"], there["tags"], there["windows"]) == (here["clip"], here["tags"], here["windows"])
        assert {one["tag"]: one["score"] for one in there["scores"]} == pytest.approx(
            {one["tag"]: one["score"] for one in here["scores"]}, abs=1e-4
        )


def test_voices_sound_as_they_do_to_the_local_back_end(shipped: Server, serve: Serve) -> None:
    """Recordings of different length and their windows: rows of several of them share an execution on the server."""
    voices = {f"{seconds:g}": sound(140 + 20 * seconds, seconds) for seconds in (0.4, 1.0, 3.7, 12.5)}
    files = {name: (name, data, WAV) for name, data in voices.items()}
    answers = []
    for flags in ((), ("--backend", "remote", "--triton", shipped.address)):
        with serve(SHIPPED, *flags) as client:
            until(lambda client=client: status(client, "/readyz") == 200)
            told = client.post("/v1/speech/emotion/batch", data={"segments": "true"}, files=files)
            assert told.status_code == 200, told.text
            answers.append(told.json()["items"])
    for here, there in zip(*answers, strict=True):
        assert there["answer"]["scores"] == pytest.approx(here["answer"]["scores"], abs=1e-4)
        for ours, theirs in zip(here["answer"]["segments"], there["answer"]["segments"], strict=True):
            assert theirs["scores"] == pytest.approx(ours["scores"], abs=1e-4)


def sound(hertz: float, seconds: float) -> bytes:
    """A WAV file of a tone and its overtones."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sign(np.sin(2 * np.pi * hertz * time)), 16_000, format="WAV")
    return file.getvalue()

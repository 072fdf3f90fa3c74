"""Schemathesis against the whole suite on a real socket, as its own OpenAPI document describes it."""

import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import uvicorn
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image

from common.http.server import Server, config
from common.settings import Settings
from contracts.media import AUDIO_TYPES
from deploy.app import create_app
from llm_studies.simulate.mind import Prompt
from llm_studies.simulate.server import SimulatedServer

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis; run with `nox -s api`")

pytestmark = pytest.mark.api


def pictures(form: str) -> st.SearchStrategy[bytes]:
    def drawn(size: tuple[int, int]) -> bytes:
        file = io.BytesIO()
        Image.new("L", size, 128).save(file, form)
        return file.getvalue()

    return st.tuples(st.integers(1, 40), st.integers(1, 40)).map(drawn)


schemathesis.openapi.media_type("image/png", pictures("PNG"))
schemathesis.openapi.media_type("image/jpeg", pictures("JPEG"))


def sounds() -> st.SearchStrategy[bytes]:
    """WAV of up to half a second; what a file really is is read from it, whatever its type is said to be."""

    def noise(length: int, seed: int) -> bytes:
        file = io.BytesIO()
        samples = np.random.default_rng(seed).uniform(-1, 1, length)
        soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
        return file.getvalue()

    return st.builds(noise, st.integers(1, 8_000), st.integers(0, 9))


for media in AUDIO_TYPES:
    if media.startswith("audio/"):
        schemathesis.openapi.media_type(media, sounds())

ROOT = Path(__file__).parents[2]
schema = schemathesis.openapi.from_dict(msgspec.json.decode(create_app(Settings()).document))


class Anything:
    """A model that answers what every prompt of the suite can be answered with."""

    def __call__(self, prompt: Prompt) -> str:
        return "none" if prompt.question.endswith(":") else "It follows.\n```python\nanswer = 4\n```\nANSWER: 4"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the suite, running with the shipped models and a simulated language model."""
    model = uvicorn.Config(SimulatedServer(Anything()), port=0, log_config=None, lifespan="off", access_log=False)
    profile = tmp_path_factory.mktemp("llm") / "profile.toml"
    with running(uvicorn.Server(model)) as upstream:
        profile.write_text(f'base_url = "{upstream}/v1"\nmodel = "simulated"\n')
        given = Settings(access_log=False, port=0, drain_seconds=1.0, llm=str(profile))
        app = create_app(given)
        with running(Server(config(app, given), app, 0.0)) as url:
            yield url


@contextmanager
def running(server: uvicorn.Server) -> Iterator[str]:
    """Its address, while it runs in a thread of its own."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_service_does_what_its_document_says(case, url: str) -> None:
    case.call_and_validate(base_url=url)


def test_the_command_line_finds_nothing_either(url: str) -> None:
    """All phases of ``st run``: examples, coverage, fuzzing, stateful; ``schemathesis.toml`` says what is expected."""
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--max-examples", "30"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:]

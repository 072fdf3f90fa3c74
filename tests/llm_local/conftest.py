"""``transformers serve`` on a tiny random model, in an environment of its own: nothing of ours depends on it."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from contracts.llm import Profile

PYTHON = "LLM_PYTHON"
"""Names the interpreter of an environment with ``transformers[serving]`` and torch."""
START_SECONDS = 120.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.llm_local)


@pytest.fixture(scope="session")
def python() -> Path:
    found = os.environ.get(PYTHON)
    if found is None and os.environ.get("REQUIRE_LLM_LOCAL") == "1":
        pytest.fail(f"REQUIRE_LLM_LOCAL=1, but {PYTHON} names no environment with the server")
    if found is None:
        pytest.skip("run `nox -s llm_local`")
    return Path(found)


@pytest.fixture(scope="session")
def greedy(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """A model whose own settings say nothing of sampling, as most have it: the server ignores temperature."""
    with serving(python, tmp_path_factory.mktemp("llm") / "greedy") as profile:
        yield profile


@pytest.fixture(scope="session")
def sampling(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """The same weights, with sampling switched on in the model's own settings."""
    with serving(python, tmp_path_factory.mktemp("llm") / "sampling") as profile:
        yield profile


@contextlib.contextmanager
def serving(python: Path, model: Path) -> Iterator[Profile]:
    """Make the model and serve it on 127.0.0.1, offline. Ready is what /health says: /v1/models needs a hub cache."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(model.parent / "hub"), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **offline}
    script = Path(__file__).with_name("tiny_model.py")
    subprocess.run([python, script, model], env=environment, check=True, capture_output=True)
    address = f"127.0.0.1:{_free_port()}"
    host, port = address.split(":")
    command = [python.parent / "transformers", "serve", model, "--host", host, "--port", port, "--device", "cpu"]
    log = model.parent / f"{model.name}.log"
    with log.open("wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as server:
        try:
            _wait(server, f"http://{address}/health", log)
            yield Profile(base_url=f"http://{address}/v1", model=str(model), concurrency=4, attempts=2)
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        return chosen.getsockname()[1]


def _wait(server: subprocess.Popen, health: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(health).status_code == 200:
                return
        time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")

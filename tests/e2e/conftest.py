"""The suite, started by the very command that the README's first screen gives."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
READY_SECONDS = 300
"""Of which almost all is installing, where the environment does not exist yet."""


def readme_blocks(language: str) -> list[str]:
    """Fenced code blocks of the README, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the running suite."""
    port, log = free_port(), tmp_path_factory.mktemp("suite") / "log"
    command = f"{readme_blocks('sh')[0].strip()} -- --port {port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, shell=True, cwd=ROOT, stdout=out, stderr=out, start_new_session=True, stdin=subprocess.DEVNULL
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, log)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + READY_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            pytest.fail(f"the README's command ended with {process.returncode}:\n{log.read_text()[-3000:]}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"not ready within {READY_SECONDS} s:\n{log.read_text()[-3000:]}")

"""``kithara serve``: where each setting comes from; what its process imports."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from common.settings import Settings
from deploy.cli import main
from deploy.commands.serve import Serve


@pytest.fixture
def served(monkeypatch) -> list[Settings]:
    """Settings that a server would have been started with."""
    seen: list[Settings] = []
    monkeypatch.setattr(Serve, "run", lambda self: seen.append(self.settings))
    for name in [name for name in os.environ if name.startswith("KITHARA_")]:
        monkeypatch.delenv(name)
    return seen


def test_defaults(served):
    assert main(["serve"]) == 0
    assert served == [Settings()]
    assert served[0].host == "127.0.0.1"


def test_every_source_overrides_the_one_before(served, tmp_path, monkeypatch):
    file = tmp_path / "kithara.toml"
    file.write_text("port = 1\nthreads = 1\nin_flight = 1\n")
    monkeypatch.setenv("KITHARA_THREADS", "2")
    monkeypatch.setenv("KITHARA_IN_FLIGHT", "2")
    assert main(["serve", "--config", str(file), "--in-flight", "3"]) == 0
    assert (served[0].port, served[0].threads, served[0].in_flight) == (1, 2, 3)


def test_a_flag_that_repeats_the_default_still_wins(served, monkeypatch):
    monkeypatch.setenv("KITHARA_PORT", "9000")
    monkeypatch.setenv("KITHARA_ACCESS_LOG", "false")
    main(["serve", "--port=8000", "--access-log"])
    assert (served[0].port, served[0].access_log) == (8000, True)
    main(["serve", "--no-access-log"])
    assert (served[1].port, served[1].access_log) == (9000, False)


def test_fields_that_need_one_another_may_come_from_different_sources(served, monkeypatch):
    monkeypatch.setenv("KITHARA_TRITON", "triton:8001")
    assert main(["serve", "--backend", "remote"]) == 0
    assert (served[0].backend, served[0].triton) == ("remote", "triton:8001")


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        (["--port", "65536"], {}, ["--port", "65535"]),
        ([], {"KITHARA_PORT": "65536"}, ["KITHARA_PORT", "65535"]),
        (["--backend", "remote"], {}, ["triton"]),
        (["--backend", "cloud"], {}, ["--backend", "'cloud'", "local"]),
        (["--no-such-flag"], {}, ["--no-such-flag"]),
        (["--config", "absent.toml"], {}, ["absent.toml"]),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(kithara, served, monkeypatch, argv, env, expected):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    ran = kithara("serve", *argv)
    assert (ran.status, ran.out, served) == (2, "", [])
    assert ran.err.count("\n") == 1
    for words in expected:
        assert words in ran.err


def test_a_repository_that_is_none_ends_it_with_the_remedy(kithara, tmp_path):
    ran = kithara("serve", "--models", str(tmp_path / "absent"))
    assert ran.status == 2
    assert str(tmp_path / "absent") in ran.err
    assert ran.err.count("\n") == 1


def test_the_serving_process_never_imports_torch(doubler, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--port", str(port), "--models", str(doubler.root), "--unready-seconds", "0"]
    trace = tmp_path / "imports"
    with trace.open("wb") as err:
        command = [sys.executable, "-X", "importtime", "-m", "deploy.cli", "serve", *flags]
        process = subprocess.Popen(command, stderr=err, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
    loaded = {
        line.rpartition("|")[2].strip() for line in trace.read_text().splitlines() if line.startswith("import time:")
    }
    assert {"litestar", "uvicorn", "onnxruntime"} <= loaded
    assert not {"torch", "transformers", "sklearn", "scipy", "matplotlib", "onnx", "openai", "httpx2"} & loaded


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens on the port; at most 30 s, and not longer than the process lives."""
    until = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the server does not listen; exit status {process.poll()}")

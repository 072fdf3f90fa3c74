"""Start the real ``tritonserver`` binary on a model repository: in tests, and from a developer's shell.

    python -m deploy.triton.server --models deploy/models

The binary is the one that the wheel ``nvidia-pytriton`` carries (Linux x86-64, Python below 3.13). It lives in an
environment of its own with numpy below 2, named by ``TRITON_PYTHON`` or ``--python``; ``nox -s triton`` makes
one. Needs no GPU, no container and no network.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import tyro

from common.errors import OperatorError
from deploy.triton.wheel import PYTHON, Wheel

PRODUCTION_ARGS = (
    "--model-repository=/models",
    # Explicit: a version is loaded when we say so, never while its folder is being written. `*` loads all at start.
    "--model-control-mode=explicit",
    "--load-model=*",
    # One broken model must not keep the others from serving; readiness is per model, proved by real inference.
    "--exit-on-error=false",
    "--strict-readiness=false",
    # Our configurations are complete; completing them again starts every Python stub twice.
    "--disable-auto-complete-config",
    "--exit-timeout-secs=30",
    "--http-port=8000",
    "--grpc-port=8001",
    "--metrics-port=8002",
)
"""What the production container runs. Every server that this module starts has these, with only values swapped."""

START_SECONDS, STOP_SECONDS = 60.0, 10.0
_TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Becomes the server after tying its life to ours (PR_SET_PDEATHSIG): no server outlives a killed test run."""


class Ports(NamedTuple):
    """All on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int

    @classmethod
    def free(cls) -> "Ports":
        """Three that nobody listens on now: Triton refuses port 0."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in cls._fields]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return cls(*(one.getsockname()[1] for one in sockets))


def arguments(models: Path, backends: Path, ports: Ports, region: str) -> list[str]:
    """The production arguments with paths and ports swapped, and what a server beside others on one machine needs."""
    swapped = {
        "--model-repository": str(models),
        "--exit-timeout-secs": "5",
        "--http-port": str(ports.http),
        "--grpc-port": str(ports.grpc),
        "--metrics-port": str(ports.metrics),
    }
    given = [arg.partition("=") for arg in PRODUCTION_ARGS]
    return [
        *(f"{key}={swapped.get(key, value)}" if equals else key for key, equals, value in given),
        f"--backend-directory={backends}",
        *(f"--{service}-address=127.0.0.1" for service in ("http", "grpc", "metrics")),
        "--allow-gpu-metrics=false",
        *(f"--backend-config={name},shm-region-prefix-name={region}" for name in ("python", "onnxruntime")),
    ]


class Server:
    """One server process. It may be killed and started again: the ports stay."""

    def __init__(self, models: Path, python: str, folder: Path, ports: Ports | None = None) -> None:
        """``folder``: an empty one, for the backends and the log. Starts nothing."""
        self.wheel = Wheel.of(python)
        self.ports = ports or Ports.free()
        self.address = f"127.0.0.1:{self.ports.grpc}"
        """Of gRPC, as ``--triton`` takes it."""
        self.log = folder / "triton.log"
        self._region = f"kithara_{os.getpid()}_{self.ports.grpc}_"
        self.wheel.backends(folder / "backends")
        self._command = [
            sys.executable,
            "-Sc",
            _TIE,
            str(self.wheel.binary),
            *arguments(models.resolve(), folder / "backends", self.ports, self._region),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, which ends when the calling thread does; ``wait`` says when it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self.wheel.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server is ready. Raises OperatorError with its log when it ends or takes too long."""
        until = time.monotonic() + seconds
        while not self.ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise OperatorError(f"tritonserver did not become ready:\n{self.complaints()}")
            time.sleep(0.05)

    def follow(self) -> None:
        """Copy the log to stderr until the process ends."""
        with self.log.open(errors="replace") as log:
            while self.process is not None and self.process.poll() is None:
                sys.stderr.write(log.read())
                time.sleep(0.2)

    def ready(self) -> bool:
        """Whether the server takes requests; says nothing about a single model."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.http}/v2/health/ready", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def complaints(self) -> str:
        """The log lines that explain a failure, at most 40."""
        lines = self.log.read_text(errors="replace").splitlines()
        telling = [line for line in lines if line.startswith("E") or "failed to load" in line or "error:" in line]
        return "\n".join((telling or lines)[-40:])

    def stop(self) -> None:
        """Ask it to end, then kill it and its stubs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the server and its stubs, at once; removes the shared memory that they leave behind."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        for region in Path("/dev/shm").glob(f"{self._region}*"):
            region.unlink(missing_ok=True)


@contextlib.contextmanager
def running(models: Path, python: str, ports: Ports | None = None) -> Iterator[Server]:
    """A ready server on that repository; killed, with everything it made, when the block ends."""
    with tempfile.TemporaryDirectory(prefix="kithara-triton-") as folder:
        server = Server(models, python, Path(folder), ports)
        try:
            server.start()
            server.wait()
            yield server
        finally:
            server.stop()


def main(
    models: Path,
    python: str = os.environ.get(PYTHON, sys.executable),
    http_port: int = 8100,
    grpc_port: int = 8001,
    metrics_port: int = 8102,
) -> None:
    """Serve a model repository on 127.0.0.1 until Ctrl-C.

    Args:
        models: The model repository.
        python: Interpreter of the environment that holds nvidia-pytriton.
        http_port: Triton's own HTTP API.
        grpc_port: The one that ``kithara serve --triton`` is given.
        metrics_port: Prometheus metrics.
    """
    with running(models, python, Ports(http_port, grpc_port, metrics_port)) as server:
        sys.stderr.write(f"tritonserver is ready: kithara serve --backend remote --triton {server.address}\n")
        server.follow()


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except OperatorError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)

"""How long ``kithara serve`` takes until it is ready, and how much memory."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.errors import OperatorError
from deploy import SHIPPED
from deploy.bench.report import StartRow
from deploy.bench.server import free_port, stop, wait_ready, without_settings


def shipped(repeats: int) -> tuple[StartRow, ...]:
    """The shipped models, the fastest start of several; nothing when no models are shipped."""
    if not any(SHIPPED.glob("*/config.pbtxt")):
        return ()
    rows = [_start() for _ in range(repeats)]
    return (StartRow(ready_seconds=min(r.ready_seconds for r in rows), peak_mb=max(r.peak_mb for r in rows)),)


def _start() -> StartRow:
    port = free_port()
    command = [sys.executable, "-m", "deploy.cli", "serve", "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=without_settings(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_ready(process, port, log)
            seconds = time.perf_counter() - started
            return StartRow(ready_seconds=seconds, peak_mb=peak_mb(process.pid))
        finally:
            stop(process)


def peak_mb(pid: int) -> float:
    """Largest resident set of a running process so far, in 10^6 bytes. Raises OperatorError where /proc lacks it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OperatorError("/proc does not tell the peak memory of a process; this bench needs Linux")

"""Cores: keep a thread on one, and tell how much of one other processes took."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from common.errors import OperatorError

_TICK = os.sysconf("SC_CLK_TCK")


class Place(NamedTuple):
    """The core that a server runs on, and the client's."""

    server: int
    client: int


def places() -> Place:
    """The first core for the server, the last one for the client. Raises OperatorError with fewer than two."""
    if not hasattr(os, "sched_getaffinity"):
        raise OperatorError("this bench keeps server and client on cores of their own, which only Linux lets it do")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise OperatorError("this bench needs two cores, one for the server and one for the client; it may use one")
    return Place(cores[0], cores[-1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep the calling thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Core:
    """Watches one core and one process that stays on it."""

    def __init__(self, core: int, pid: int) -> None:
        self._name, self._pid = f"cpu{core} ", pid
        self._before = self._read()

    def others(self) -> float:
        """Share of the core's time that went to other processes since this was made; 0 on a quiet machine."""
        total, idle, own = (now - then for now, then in zip(self._read(), self._before, strict=True))
        return max(0.0, 1.0 - (idle + own) / total) if total > 0 else 0.0

    def _read(self) -> tuple[float, float, float]:
        """Seconds so far: of the core, of its idleness, of the process."""
        line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(self._name))
        ticks = [int(field) for field in line.split()[1:9]]
        process = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return sum(ticks) / _TICK, (ticks[3] + ticks[4]) / _TICK, (int(process[11]) + int(process[12])) / _TICK

"""``kithara bench medusa``: ten seconds of speech to the starter ensemble, over HTTP and in process, on one core."""

import asyncio
import contextlib
import http.client
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import numpy as np
import onnxruntime
import soundfile

from common.errors import OperatorError
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts._base import Record
from contracts.speech import MODEL, SAMPLE_RATE, EmotionOptions
from deploy import SHIPPED
from deploy.bench.client import HOST
from deploy.bench.cores import pinned, places
from deploy.bench.server import free_port, stop, wait_ready, without_settings
from speech.features import to_speech
from speech.inputs import graph_inputs
from speech.service import Listener

SECONDS, ROWS = 10.0, 8
BOUND_MS = 150.0
"""Of the median answer over HTTP."""
PATH = "/v1/speech/emotion"
WAV, FLAC = "WAV, 16 kHz", "FLAC, 44.1 kHz stereo"
WARM = 3
"""Calls before the clock starts."""


class Timed(Record, frozen=True, kw_only=True):
    """Milliseconds of one kind of call."""

    p50: float
    p95: float
    calls: int


class SpeechBench(Record, frozen=True, kw_only=True):
    """The figures."""

    machine: str
    model: str
    seconds: float
    """Of the recording."""
    http: dict[str, Timed]
    """The whole answer as a caller sees it, one after another, by kind of file."""
    stages: dict[str, Timed]
    """In process: the whole answer and its parts, of the WAV."""
    batch_ratio: float
    """Time of the graph for eight recordings in one execution over eight times that for one; below 1 batches pay."""
    bound_ms: float

    @property
    def slowest(self) -> float:
        """Median over HTTP, of the worst kind of file."""
        return max(t.p50 for t in self.http.values())

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.slowest < self.bound_ms

    def table(self) -> str:
        """The figures as plain text."""
        lines = [f"{self.seconds:g} s of speech, {self.model}, one core, {self.machine}", ""]
        lines += [f"{'':<28}{'p50 ms':>9}{'p95 ms':>9}{'calls':>7}"]
        rows = [(f"HTTP, {name}", t) for name, t in self.http.items()] + list(self.stages.items())
        lines += [f"{name:<28}{t.p50:>9.1f}{t.p95:>9.1f}{t.calls:>7}" for name, t in rows]
        lines += ["", f"graph: {ROWS} recordings in one execution take {self.batch_ratio:.2f} of {ROWS} times one"]
        word = "met" if self.met else "MISSED"
        return "\n".join([*lines, f"{word}: {self.slowest:.1f} ms, bound {self.bound_ms:g} ms"])


def bench(*, quick: bool) -> SpeechBench:
    """Measure. Raises OperatorError without two cores or without the starter ensemble."""
    version = Repository(SHIPPED).load(*Repository(SHIPPED).resolve(MODEL))
    place, calls, files = places(), 20 if quick else 100, recordings()
    with pinned(place.client), served(place.server) as port:
        http = {name: over_http(port, *file, calls) for name, file in files.items()}
    with pinned(place.server):
        stages, ratio = asyncio.run(in_process(files[WAV][0], calls))
    return SpeechBench(
        machine=f"{platform.machine()}, {os.cpu_count()} cores, onnxruntime {onnxruntime.__version__}",
        model=f"{MODEL}@{version.card.version}",
        seconds=SECONDS,
        http=http,
        stages=stages,
        batch_ratio=ratio,
        bound_ms=BOUND_MS,
    )


def recordings() -> dict[str, tuple[bytes, str]]:
    """A gliding voice in syllables, as two files with their media types."""
    return {WAV: (recording(SAMPLE_RATE, 1, "WAV"), "audio/wav"), FLAC: (recording(44_100, 2, "FLAC"), "audio/flac")}


def recording(rate: int, channels: int, form: str) -> bytes:
    """The same sound in any form."""
    t = np.arange(round(SECONDS * rate)) / rate
    phase = 2 * np.pi * np.cumsum(160 * (1 + 0.3 * np.sin(1.7 * t))) / rate
    tones = sum(np.sin(n * phase) / n for n in range(1, 12))
    sound = 0.15 * tones * (1 + np.sin(6 * np.pi * t)) + 0.01 * np.random.default_rng(0).standard_normal(len(t))
    file = io.BytesIO()
    soundfile.write(file, np.tile(sound[:, None], (1, channels)), rate, format=form, subtype="PCM_16")
    return file.getvalue()


@contextlib.contextmanager
def served(core: int) -> Iterator[int]:
    """The port of ``kithara serve`` on that core with one thread; stopped when the block ends."""
    port = free_port()
    flags = ["--models", str(SHIPPED), "--domain", "speech", "--threads", "1", "--host", HOST, "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "serve", *flags],
            env=without_settings() | {"KITHARA_ACCESS_LOG": "false"},
            stdout=log,
            stderr=log,
            preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # before any of its threads
        )
        try:
            wait_ready(process, port, log)
            yield port
        finally:
            stop(process)


def over_http(port: int, file: bytes, media: str, calls: int) -> Timed:
    """On one connection that stays open."""
    connection = http.client.HTTPConnection(HOST, port)

    def ask() -> None:
        connection.request("POST", PATH, file, {"content-type": media})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise OperatorError(f"{PATH} answered {answer.status}: {body[:300]!r}")

    with contextlib.closing(connection):
        return _timed([_seconds(ask) for _ in range(WARM + calls)])


async def in_process(file: bytes, calls: int) -> tuple[dict[str, Timed], float]:
    """The whole answer, its three parts, and what eight rows in one execution cost."""
    models = Models(Repository(SHIPPED), LocalBackend(threads=1, device="cpu"), names=[MODEL])
    await models.start()
    try:
        listener, served = Listener(models), models.served(MODEL)
        engine, samples = served.engine, to_speech(file, "file").samples
        described = served.card.speech is not None and served.card.speech.functionals is not None
        heard = partial(graph_inputs, ids=None, whole=described)
        one, eight = heard([samples]), heard([samples] * ROWS)
        few = max(5, calls // ROWS)
        whole = await _awaited(lambda: listener.one(file, EmotionOptions(), Call()), calls)
        graph = await _awaited(lambda: engine.infer(one, Call()), calls)
        many = await _awaited(lambda: engine.infer(eight, Call()), few)
    finally:
        await models.stop(drain=0.0)
    stages = {
        "in process, whole answer": whole,
        "  decode": _timed([_seconds(lambda: to_speech(file, "file")) for _ in range(WARM + calls)]),
        "  front end": _timed([_seconds(lambda: heard([samples])) for _ in range(WARM + calls)]),
        "  graph": graph,
    }
    return stages, many.p50 / (ROWS * graph.p50)


async def _awaited(call: Callable[[], Awaitable[object]], calls: int) -> Timed:
    seconds = []
    for _ in range(WARM + calls):
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
    return _timed(seconds)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _timed(seconds: list[float]) -> Timed:
    p50, p95 = np.percentile(1e3 * np.array(seconds[WARM:]), (50, 95)).tolist()
    return Timed(p50=p50, p95=p95, calls=len(seconds) - WARM)

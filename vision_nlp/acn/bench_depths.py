"""Does a network cut after k blocks take k blocks' time? Every depth as an exported graph, on one thread, in turns."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from common.export.latency import Run, save
from contracts._base import Record
from contracts.vision_nlp import acn_signature
from vision_nlp.acn.config import Model
from vision_nlp.acn.model import build

CLASSES = 10
LEAST_TURNS = 5


class DepthRow(Record, frozen=True, kw_only=True):
    """One depth at one batch size."""

    batch: int
    depth: int
    megabytes: float
    """Of the ONNX file."""
    us: float
    """Median CPU time of a call."""
    ratio: float
    """Over the whole network."""
    expected: float
    """(k + f) / (L + f), where f is the time of embedding and head, measured in blocks."""
    deviation: float
    """Of ``ratio`` from ``expected``, as a share of it."""


def measure_depths(
    model: Model, image: tuple[int, int, int], depths: Sequence[int], batches: Sequence[int], budget: float
) -> list[DepthRow]:
    """About ``budget`` seconds for each depth and batch size. Time does not depend on weights: they are random."""
    channels, height, width = image
    rng = np.random.default_rng(0)
    found = []
    with TemporaryDirectory() as folder:
        graphs = _graphs(model, image, sorted({0, *depths, model.layers}), Path(folder))
        sizes = {depth: _path(Path(folder), depth).stat().st_size for depth in graphs}
        for batch in batches:
            pixels = rng.standard_normal((batch, channels * height * width), dtype=np.float32)
            seconds = medians({k: partial(run, pixels) for k, run in graphs.items()}, budget)
            found += depth_rows(batch, seconds, sizes)
    return found


def _graphs(model: Model, image: tuple[int, int, int], depths: Sequence[int], folder: Path) -> dict[int, Run]:
    network = build(model, image, CLASSES)
    channels, height, width = image
    signature = acn_signature(channels * height * width, CLASSES)
    return {depth: save(network.truncate(depth), signature, _path(folder, depth)) for depth in depths}


def _path(folder: Path, depth: int) -> Path:
    return folder / f"{depth}.onnx"


def medians(calls: Mapping[int, Callable[[], object]], budget: float) -> dict[int, float]:
    """Seconds of CPU time of each, called in turns until all together took ``budget`` for each; warm-up not counted.

    CPU time of this thread, in which a session of one thread runs: what else the machine does is not in it.
    """
    for call in calls.values():
        call()
    taken: dict[int, list[float]] = {key: [] for key in calls}
    end, turns = time.thread_time() + budget * len(calls), 0
    while time.thread_time() < end or turns < LEAST_TURNS:
        for key, call in calls.items():
            began = time.thread_time()
            call()
            taken[key].append(time.thread_time() - began)
        turns += 1
    return {key: float(np.median(seconds)) for key, seconds in taken.items()}


def depth_rows(batch: int, seconds: dict[int, float], sizes: dict[int, int]) -> list[DepthRow]:
    """From the seconds of depth 0 (embedding and head alone), of some depths, and of the whole, the deepest; and their
    bytes."""
    layers = max(seconds)
    block = (seconds[layers] - seconds[0]) / layers
    fixed = seconds[0] / block
    rows = []
    for depth in sorted(seconds.keys() - {0}):
        ratio, expected = seconds[depth] / seconds[layers], (depth + fixed) / (layers + fixed)
        rows.append(
            DepthRow(
                batch=batch,
                depth=depth,
                megabytes=round(sizes[depth] / 1e6, 3),
                us=round(seconds[depth] * 1e6, 1),
                ratio=round(ratio, 4),
                expected=round(expected, 4),
                deviation=round(ratio / expected - 1, 4),
            )
        )
    return rows

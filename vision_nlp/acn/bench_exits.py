"""What early exit saves on real pictures: bare sessions in turns, then the service's own way through its batcher."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnxruntime

from common.export.latency import quantised
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts._base import Record
from contracts.models import ModelCard
from contracts.vision_nlp import LOGITS, PIXELS, X_NEXT, Y_NEXT, X, Y
from vision_nlp.acn.early import entropies
from vision_nlp.exits import Exits

WHOLE, EXITS, CUT, INT8 = "whole", "early exit", "cut", "whole int8"
SEGMENT = 128
"""Rows between two turns."""
Answer = tuple[np.ndarray, float]
"""Logits (rows, classes), and the blocks that ran, summed over the rows."""
Engine = Callable[[np.ndarray], Answer]
Ask = Callable[[np.ndarray], Awaitable[Answer]]


class ExitRow(Record, frozen=True, kw_only=True):
    """One way of answering."""

    how: str
    """``bare``: a loop over ONNX Runtime sessions. ``served``: through Models and the batcher."""
    together: int
    """Rows of a call, or callers at once."""
    engine: str
    us: float
    """CPU time per picture, of all threads: what else the machine does is not in it."""
    speedup: float
    """Over the whole network, in the same run."""
    accuracy: float
    mean_depth: float


class Pictures(NamedTuple):
    x: np.ndarray
    """float32 (rows, pixels)"""
    y: np.ndarray
    """int64 (rows,)"""


def measure_exits(root: Path, card: ModelCard, pictures: Pictures) -> list[ExitRow]:
    """Every engine over all pictures: bare with 1 and 32 rows a call, served with 1 and 32 callers."""
    repository = Repository(root)
    versions = [repository.load(card.name, card.version)]
    versions += [repository.load(stage.model, stage.version) for stage in card.stages]
    with TemporaryDirectory() as folder:
        engines = _bare(versions, card, Path(folder))
        rows = [row for together in (1, 32) for row in _measure_bare(engines, pictures, together)]
    return [*rows, *(row for callers in (1, 32) for row in asyncio.run(_measure_served(root, card, pictures, callers)))]


def threshold(card: ModelCard) -> float:
    """The entropy that evaluation chose on validation rows."""
    return float(card.properties["exit_entropy"])


def _bare(versions: Sequence[Version], card: ModelCard, folder: Path) -> dict[str, Engine]:
    whole, *stages = [_session(version.graph) for version in versions]
    depths = [stage.depth for stage in card.stages]
    kept = next(depth for depth in depths if depth >= int(card.properties["cut"]))
    copy = folder / "whole.onnx"
    copy.write_bytes(versions[0].graph.read_bytes())
    int8 = quantised(copy)

    def run_whole(pixels: np.ndarray) -> Answer:
        return np.asarray(whole.run([LOGITS], {PIXELS: pixels})[0]), depths[-1] * len(pixels)

    return {
        WHOLE: run_whole,
        EXITS: partial(_staged, list(zip(stages, depths, strict=True)), threshold(card)),
        f"{CUT} at {kept}": partial(_staged, list(zip(stages, depths, strict=True))[: depths.index(kept) + 1], 0.0),
        INT8: lambda pixels: (int8(pixels), depths[-1] * len(pixels)),
    }


def _staged(stages: Sequence[tuple[onnxruntime.InferenceSession, int]], entropy: float, pixels: np.ndarray) -> Answer:
    state, going = {PIXELS: pixels}, np.arange(len(pixels))
    logits, blocks, before = np.empty((0, 0), np.float32), 0, 0
    for session, depth in stages:
        read, x, y = map(np.asarray, session.run([LOGITS, X_NEXT, Y_NEXT], state))
        blocks, before = blocks + len(going) * (depth - before), depth
        if not logits.size:
            logits = np.empty((len(pixels), read.shape[1]), np.float32)
        logits[going] = read
        stay = entropies(read) >= entropy
        going, state = going[stay], {X: x[stay], Y: y[stay]}
        if not len(going):
            break
    return logits, blocks


def _session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class _Tally:
    """Time, right answers and blocks of one engine."""

    def __init__(self) -> None:
        self.seconds = self.right = self.blocks = 0.0

    def add(self, seconds: float, answer: Answer, labels: np.ndarray) -> None:
        self.seconds += seconds
        self.right += float((answer[0].argmax(1) == labels).sum())
        self.blocks += answer[1]


def _measure_bare(engines: dict[str, Engine], pictures: Pictures, together: int) -> list[ExitRow]:
    tallies = {name: _Tally() for name in engines}
    for engine in engines.values():
        engine(pictures.x[:together])
    for rows in _segments(len(pictures.y)):
        for name, engine in engines.items():
            for start in range(rows.start, rows.stop, together):
                part = slice(start, min(start + together, rows.stop))
                began = time.process_time()
                answer = engine(pictures.x[part])
                tallies[name].add(time.process_time() - began, answer, pictures.y[part])
    return _rows("bare", together, tallies, len(pictures.y))


async def _measure_served(root: Path, card: ModelCard, pictures: Pictures, callers: int) -> list[ExitRow]:
    names = [card.name, *(stage.model for stage in card.stages)]
    models = Models(Repository(root), LocalBackend(threads=1, device="cpu"), names=names)
    await models.start()
    exits, entropy, layers = Exits(models), threshold(card), card.stages[-1].depth

    async def whole(pixels: np.ndarray) -> Answer:
        outputs, _ = await models.infer(f"{card.name}@{card.version}", {PIXELS: pixels}, Call())
        return outputs[LOGITS], layers

    async def early(pixels: np.ndarray) -> Answer:
        left = await exits.until(card, pixels, entropy, Call())
        return left.logits, int(left.depth[0])

    tallies = {name: _Tally() for name in (WHOLE, EXITS)}
    for rows in _segments(len(pictures.y)):
        for name, ask in ((WHOLE, whole), (EXITS, early)):
            began = time.process_time()
            answers = await _closed_loop(ask, pictures.x[rows], callers)
            together = np.concatenate([logits for logits, _ in answers]), sum(blocks for _, blocks in answers)
            tallies[name].add(time.process_time() - began, together, pictures.y[rows])
    await models.stop(drain=0.0)
    return _rows("served", callers, tallies, len(pictures.y))


async def _closed_loop(ask: Ask, pixels: np.ndarray, callers: int) -> list[Answer]:
    """Each caller sends one picture, waits for the answer, and sends the next that nobody has sent."""
    answers: list[Answer] = [(np.empty(0), 0.0)] * len(pixels)
    waiting = iter(range(len(pixels)))

    async def call() -> None:
        for at in waiting:
            answers[at] = await ask(pixels[[at]])

    await asyncio.gather(*(call() for _ in range(callers)))
    return answers


def _segments(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + SEGMENT, rows)) for start in range(0, rows, SEGMENT))


def _rows(how: str, together: int, tallies: dict[str, _Tally], n: int) -> list[ExitRow]:
    return [
        ExitRow(
            how=how,
            together=together,
            engine=name,
            us=round(tally.seconds / n * 1e6, 1),
            speedup=round(tallies[WHOLE].seconds / tally.seconds, 3),
            accuracy=round(tally.right / n, 4),
            mean_depth=round(tally.blocks / n, 2),
        )
        for name, tally in tallies.items()
    ]

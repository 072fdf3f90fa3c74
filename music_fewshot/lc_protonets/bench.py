"""Time to build a tag set and to tag by it, beside the rule as it is written, on one thread and in one run.

Label sets and embeddings are random: the time does not depend on what the numbers mean.
"""

import os
import platform
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from contracts._base import Record
from music_fewshot.lc_protonets import exhaustive
from music_fewshot.lc_protonets.closed import TooManyClosedSets, multiplicities
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.scaling import LYRA_60, THOUSAND, Shape, clustered

DIMENSIONS = 512
BATCH = 256
ADVERSARIAL = 40
"""Items that each lack one of as many labels: 2^40 closed sets, if nobody stopped."""
SHAPES = (
    LYRA_60,
    Shape(labels=100, items=147, mean=6.4, most=13),
    Shape(labels=200, items=276, mean=6.7, most=15),
    Shape(labels=500, items=624, mean=8.2, most=20),
    THOUSAND,
)


class Target(Record, frozen=True, kw_only=True):
    """A bound that was promised."""

    what: str
    bound: float
    measured: float
    met: bool


class SizeRow(Record, frozen=True, kw_only=True):
    """One size of tag set; medians."""

    labels: int
    items: int
    combinations: str
    """Exact; decimal text."""
    closed_sets: int
    build_ms: float
    one_us: float
    """A single query."""
    batch_us: float
    """A query in a batch of 256."""


class MatchBench(Record, frozen=True, kw_only=True):
    """The table, and whether it keeps the promises."""

    machine: str
    dimensions: int
    rows: tuple[SizeRow, ...]
    loop_us: float
    """A query by the loop over all combinations, at the first size; its prototypes were made beforehand."""
    refused_seconds: float
    """To refuse the adversarial tag set"""
    refused_mb: float
    """Peak memory of that"""
    targets: tuple[Target, ...]

    def table(self) -> str:
        """The table as plain text."""
        head = (
            f"{'tags':>5} {'items':>6} {'combinations':>13} {'closed':>7} {'build ms':>9} {'one us':>8} {'batch us':>9}"
        )
        lines = [f"one thread, {self.dimensions} numbers an embedding, {self.machine}", "", head]
        lines += [
            f"{r.labels:>5} {r.items:>6} {r.combinations:>13} {r.closed_sets:>7} {r.build_ms:>9.2f} {r.one_us:>8.1f} "
            f"{r.batch_us:>9.1f}"
            for r in self.rows
        ]
        lines += [
            "",
            f"the loop over all combinations, {self.rows[0].labels} tags: {self.loop_us:.0f} us a query",
            f"{ADVERSARIAL} x {ADVERSARIAL} adversarial: refused in {self.refused_seconds:.2f} s, "
            f"{self.refused_mb:.0f} MB at most",
            "",
            *(f"{'met' if t.met else 'MISSED'}: {t.what}: {t.measured:.4g}, bound {t.bound:g}" for t in self.targets),
        ]
        return "\n".join(lines)


class Case(NamedTuple):
    embeddings: np.ndarray
    label_sets: tuple[int, ...]
    queries: np.ndarray


def bench(*, quick: bool) -> MatchBench:
    """Measure every size. Quick: the smallest and the largest, fewer repetitions."""
    shapes = (SHAPES[0], SHAPES[-1]) if quick else SHAPES
    with threadpool_limits(limits=1):
        rows = tuple(_size(shape, 3 if quick else 15) for shape in shapes)
        loop = _loop(2 if quick else 8)
        seconds, megabytes = _refusal()
    return MatchBench(
        machine=f"{platform.machine()}, {os.cpu_count()} cores, numpy {np.__version__}",
        dimensions=DIMENSIONS,
        rows=rows,
        loop_us=loop,
        refused_seconds=seconds,
        refused_mb=megabytes,
        targets=tuple(targets(rows, loop, seconds)),
    )


def targets(rows: tuple[SizeRow, ...], loop_us: float, refused_seconds: float) -> Iterator[Target]:
    """The first row is the 60-way tag set, the last the one of 1,000 tags."""
    first, last = rows[0], rows[-1]
    for what, bound, measured in (
        (f"build {first.labels} tags, ms", 20.0, first.build_ms),
        (f"one match at {first.labels} tags, us", 100.0, first.one_us),
        (f"a query in a batch at {first.labels} tags, us", 20.0, first.batch_us),
        (f"one match at {last.labels} tags, us", 5_000.0, last.one_us),
        (f"a query in a batch at {last.labels} tags, us", 5_000.0, last.batch_us),
        ("refusal of the adversarial tag set, s", 1.0, refused_seconds),
    ):
        yield Target(what=what, bound=bound, measured=measured, met=measured < bound)
    for how, mine in (("one match", first.one_us), ("a batch", first.batch_us)):
        ratio = loop_us / mine
        what = f"the loop's time over ours, {how} at {first.labels} tags"
        yield Target(what=what, bound=1_000.0, measured=ratio, met=ratio >= 1_000.0)


def _case(shape: Shape) -> Case:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((shape.items, DIMENSIONS), dtype=np.float32)
    return Case(embeddings, clustered(shape, 0), rng.standard_normal((BATCH, DIMENSIONS), dtype=np.float32))


def _size(shape: Shape, repeats: int) -> SizeRow:
    case = _case(shape)
    index = TagIndex.build(case.embeddings, case.label_sets, shape.labels)
    return SizeRow(
        labels=shape.labels,
        items=shape.items,
        combinations=str(sum(multiplicities(index.sets))),
        closed_sets=len(index.sets),
        build_ms=1e3 * _median(lambda: TagIndex.build(case.embeddings, case.label_sets, shape.labels), repeats),
        one_us=1e6 * _median(lambda: index.nearest(case.queries[:1]), 20 * repeats),
        batch_us=1e6 / BATCH * _median(lambda: index.nearest(case.queries), repeats),
    )


def _loop(queries: int) -> float:
    """Microseconds a query; its answers must be ours, or its time is worth nothing."""
    case = _case(SHAPES[0])
    combinations = exhaustive.label_combinations(case.label_sets)
    means = exhaustive.prototypes(case.embeddings, case.label_sets, combinations)
    index = TagIndex.build(case.embeddings, case.label_sets, SHAPES[0].labels)
    seconds = []
    for query in case.queries[:queries]:
        started = time.perf_counter()
        told = exhaustive.pick(exhaustive.similarity_table(query[None], means)[0], combinations)
        seconds.append(time.perf_counter() - started)
        if told != index.sets[index.nearest(query[None])[0]]:
            raise AssertionError("the matcher and the loop over all combinations disagree")
    return 1e6 * float(np.median(seconds))


def _refusal() -> tuple[float, float]:
    """Seconds, and megabytes at the peak (measured apart: tracing slows)."""
    everything = (1 << ADVERSARIAL) - 1
    sets = tuple(everything & ~(1 << i) for i in range(ADVERSARIAL))
    rows = np.eye(ADVERSARIAL, dtype=np.float32)

    def refuse() -> None:
        try:
            TagIndex.build(rows, sets, ADVERSARIAL)
        except TooManyClosedSets:
            return
        raise AssertionError("the adversarial tag set was taken")

    seconds = _median(refuse, 3)
    tracemalloc.start()
    refuse()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6


def _median(call: Callable[[], object], repeats: int) -> float:
    call()
    seconds = []
    for _ in range(max(3, repeats)):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))

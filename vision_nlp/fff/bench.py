"""``kithara bench fff``: the exported gather graph beside dense layers, in one process, on one thread, interleaved.

Speed only, so the weights are random. The rivals that decide are in the same table: a dense layer of equal *inference*
cost, the int8 dense layer of equal training width, and the widths at which dense wins. Below it: what a training step
takes beside the looped form of the released code.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from torch import nn

from common.export.latency import Run, interleaved, quantised, save
from common.training.threads import one_thread
from contracts._base import Record
from contracts.vision_nlp import fff_signature
from vision_nlp.fff.bench_training import StepRow, measure_steps
from vision_nlp.fff.hard import HardFFF, Weights, default_routing
from vision_nlp.fff.latency import dense_signature

INPUTS = OUTPUTS = 768
BATCHES = (1, 64, 1024)
STEP_BATCHES = (256, 64, 2048)
"""Of a training step: first that of the released commands; 2048 is their scripts' default."""
DENSE, GATHER, GROUPED = "dense", "gather", "torch grouped"
FFF_GRAPH = fff_signature(INPUTS, OUTPUTS)
DENSE_GRAPH = dense_signature(INPUTS, OUTPUTS)


class Timed(Record, frozen=True, kw_only=True):
    """One engine on one case."""

    best_us: float
    median_us: float
    speedup: float
    """Median time of the dense layer of equal training width over this median; below 1 dense wins."""


class BenchRow(Record, frozen=True, kw_only=True):
    """One layer at one batch size."""

    leaf_width: int
    depth: int
    width: int
    """Training width: leaves times leaf width."""
    batch: int
    work_ratio: float
    """Multiply-adds of the dense layer of that width over those of hard inference: the bound of any speed-up."""
    equal_mac_width: int
    """Width of the dense layer that costs as much as hard inference."""
    engines: dict[str, Timed]


class Target(Record, frozen=True, kw_only=True):
    """A speed-up that was promised."""

    what: str
    needed: float
    measured: float
    met: bool


class FffBench(Record, frozen=True, kw_only=True):
    """The table, and whether it keeps the promises."""

    machine: str
    threads: int
    inputs: int
    outputs: int
    rows: tuple[BenchRow, ...]
    steps: tuple[StepRow, ...]
    targets: tuple[Target, ...]

    def table(self) -> str:
        """The table as plain text: microseconds (median) and speed-up over dense, one line per layer and batch size."""
        engines = list(self.rows[0].engines)
        lines = [
            f"{self.inputs} -> {self.outputs}, {self.threads} thread, {self.machine}",
            "median microseconds (speed-up over the dense layer of equal training width; below 1 dense wins)",
            "",
            f"{'l,d':>5} {'width':>6} {'batch':>6} {'work':>6}  " + "".join(f"{name:>20}" for name in engines),
        ]
        for row in self.rows:
            shape = f"{row.leaf_width},{row.depth}"
            timed = "".join(f"{f'{t.median_us:.0f} ({t.speedup:.2f}x)':>20}" for t in row.engines.values())
            lines.append(f"{shape:>5} {row.width:>6} {row.batch:>6} {f'{row.work_ratio:.0f}x':>6}  {timed}")
        lines += ["", "one training step, milliseconds (median): ours, and the looped form of the released code", ""]
        lines += [
            f"{f'{step.leaf_width},{step.depth}':>5}  batch {step.batch:>5}  {step.ours_ms:>8.1f}  "
            f"{step.looped_ms:>8.1f} ({step.speedup:.1f}x)"
            for step in self.steps
        ]
        lines += [
            "",
            *(f"{'met' if t.met else 'MISSED'}: {t.what}: {t.measured}x, needs {t.needed}x" for t in self.targets),
        ]
        return "\n".join(lines)


class Case(NamedTuple):
    leaf_width: int
    depth: int

    @property
    def width(self) -> int:
        return self.leaf_width << self.depth

    @property
    def mac(self) -> int:
        """Multiply-adds of hard inference per row."""
        return self.depth * INPUTS + self.leaf_width * (INPUTS + OUTPUTS)


GRID = (Case(8, 4), Case(8, 6), Case(8, 8), Case(32, 4), Case(32, 6), Case(32, 8))
QUICK_GRID = (Case(8, 8), Case(32, 8))
TARGETS = {Case(8, 8): 3.0, Case(32, 8): 10.0}
"""Least speed-up over dense at batch 1 and 64."""
STEP_TARGET = 10.0
"""Least speed-up of a training step over the looped form at the batch of the released commands."""


def bench(*, quick: bool) -> FffBench:
    """Measure every case of the grid. Quick: the two layers of the targets, fewer repetitions."""
    with one_thread():
        budget = 0.5 if quick else 1.0
        rows = tuple(row for case in (QUICK_GRID if quick else GRID) for row in measure(case, BATCHES, budget))
        steps = measure_steps(STEP_BATCHES[:1] if quick else STEP_BATCHES, budget)
    return FffBench(
        machine=f"{platform.machine()}, {os.cpu_count()} cores, "
        f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}",
        threads=1,
        inputs=INPUTS,
        outputs=OUTPUTS,
        rows=rows,
        steps=steps,
        targets=(*_targets(rows), *_step_targets(steps)),
    )


def measure(case: Case, batches: Sequence[int], budget: float) -> list[BenchRow]:
    """One row per batch size, about ``budget`` seconds per engine; engines of the tree are compared before."""
    equal = max(1, round(case.mac / (INPUTS + OUTPUTS)))
    rng = np.random.default_rng(0)
    rows = []
    with torch.no_grad():
        engines = _engines(case, equal)
        for batch in batches:
            pixels = rng.standard_normal((batch, INPUTS), dtype=np.float32)
            calls = {name: partial(run, pixels) for name, run in engines.items()}
            _agree(calls)
            times = interleaved(calls, budget)
            dense = float(np.median(times[DENSE]))
            rows.append(
                BenchRow(
                    leaf_width=case.leaf_width,
                    depth=case.depth,
                    width=case.width,
                    batch=batch,
                    work_ratio=case.width * (INPUTS + OUTPUTS) / case.mac,
                    equal_mac_width=equal,
                    engines={name: _timed(t, dense) for name, t in times.items()},
                )
            )
    return rows


def _timed(seconds: np.ndarray, dense: float) -> Timed:
    median = float(np.median(seconds))
    return Timed(
        best_us=round(float(seconds.min()) * 1e6, 1), median_us=round(median * 1e6, 1), speedup=round(dense / median, 2)
    )


def _engines(case: Case, equal: int) -> dict[str, Run]:
    hard = HardFFF(_random_weights(case))
    other = HardFFF(_random_weights(case), "descend" if default_routing(case.depth) == "all-nodes" else "all-nodes")
    with TemporaryDirectory() as folder:
        dense, small = (Path(folder) / f"{name}.onnx" for name in ("dense", "small"))
        engines = {DENSE: save(_dense(case.width), DENSE_GRAPH, dense)}
        engines["dense int8"] = quantised(dense)
        engines["dense equal MAC"] = save(_dense(equal), DENSE_GRAPH, small)
        for name, module in ((GATHER, hard), (f"{GATHER} {other.routing}", other)):
            path = Path(folder) / f"{name.replace(' ', '-')}.onnx"
            engines[name] = save(module, FFF_GRAPH, path)
    return engines | {GROUPED: lambda pixels: hard.grouped(torch.from_numpy(pixels)).logits.numpy()}


def _dense(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(INPUTS, width), nn.ReLU(), nn.Linear(width, OUTPUTS))


def _random_weights(case: Case) -> Weights:
    """As the paper initialises: uniform in +-1/sqrt(fan in)."""
    generator = torch.Generator().manual_seed(0)

    def uniform(fan: int, *shape: int) -> torch.Tensor:
        return (2 * torch.rand(*shape, generator=generator) - 1) / fan**0.5

    n, width = 1 << case.depth, case.leaf_width
    return Weights(
        node_weight=uniform(INPUTS, n - 1, INPUTS),
        node_bias=uniform(INPUTS, n - 1),
        w1=uniform(INPUTS, n, width, INPUTS),
        b1=uniform(INPUTS, n, width),
        w2=uniform(width, n, OUTPUTS, width),
        b2=uniform(width, n, OUTPUTS),
    )


def _agree(calls: Mapping[str, Callable[[], np.ndarray]]) -> None:
    """Speed of a wrong answer is worth nothing: all engines of the tree must answer alike."""
    reference = calls[GROUPED]()
    for name, call in calls.items():
        if name.startswith(GATHER):
            np.testing.assert_allclose(call(), reference, atol=1e-4, err_msg=name)


def _targets(rows: tuple[BenchRow, ...]) -> Iterator[Target]:
    for row in rows:
        needed = TARGETS.get(Case(row.leaf_width, row.depth))
        if needed is not None and row.batch in (1, 64):
            measured = row.engines[GATHER].speedup
            what = f"gather over dense at width {row.width}, batch {row.batch}"
            yield Target(what=what, needed=needed, measured=measured, met=measured >= needed)


def _step_targets(steps: tuple[StepRow, ...]) -> Iterator[Target]:
    for step in steps:
        if step.batch == STEP_BATCHES[0]:
            what = f"training step over the looped form at ({step.leaf_width},{step.depth}), batch {step.batch}"
            yield Target(what=what, needed=STEP_TARGET, measured=step.speedup, met=step.speedup >= STEP_TARGET)

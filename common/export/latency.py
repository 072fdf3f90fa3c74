"""Time per call of exported graphs under ONNX Runtime, on one thread, in turns."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from common.export.onnx import export
from contracts.tensors import Signature

Run = Callable[[np.ndarray], np.ndarray]
"""(B, inputs) float32 -> the first output, (B, outputs) float32"""
TURN = 5e-4
"""Seconds, or one call where that takes longer: so short that the machine seldom turns to something else within, and
the median is that of undisturbed turns."""
LEAST_TURNS, SMALL_TURNS = 5, 50
"""However busy the machine: of large layers, and of the small graphs of ``microseconds``."""
BATCHES = (1, 32)
"""Rows per call of ``microseconds``: one request alone, and a batch as the server makes them."""


def save(module: nn.Module, signature: Signature, path: Path) -> Run:
    """Through the suite's own exporter, as for serving, a graph whose only input is rows of numbers.

    Raises OperatorError as ``export`` does.
    """
    (rows,) = signature.inputs
    inputs = rows.dims[1]
    if not isinstance(inputs, int):
        raise TypeError(f"the width of the input is {inputs}, must be a number")
    with _quiet():
        export(module, signature, {rows.name: torch.zeros(2, inputs)}, path)
    return session(path)


def session(path: Path) -> Run:
    """On one thread; a call computes every output, as serving does, and returns the first."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    opened = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    name = opened.get_inputs()[0].name
    return lambda rows: np.asarray(opened.run(None, {name: rows})[0])


def quantised(path: Path) -> Run:
    """The graph at ``path`` with int8 weights, one scale a tensor; activations are quantised at run time."""
    int8 = path.with_suffix(".int8.onnx")
    with _quiet():
        quantize_dynamic(path, int8, weight_type=QuantType.QInt8)
    return session(int8)


def microseconds(graphs: Mapping[str, Run], rows: np.ndarray, budget: float) -> dict[str, dict[int, float]]:
    """Median time of a call of each graph with the first ``BATCHES`` of ``rows``; all in turns.

    ``budget`` in seconds for each graph and batch size.
    """
    found: dict[str, dict[int, float]] = {name: {} for name in graphs}
    for batch in BATCHES:
        some = np.ascontiguousarray(rows[:batch])
        calls = {name: partial(graph, some) for name, graph in graphs.items()}
        for name, seconds in interleaved(calls, budget, SMALL_TURNS).items():
            found[name][batch] = 1e6 * float(np.median(seconds))
    return found


def interleaved(
    calls: Mapping[str, Callable[[], object]], budget: float, least: int = LEAST_TURNS
) -> dict[str, np.ndarray]:
    """Seconds per call of each, measured in turns so that a busy machine slows all alike.

    ``budget`` in seconds for each. There are at least ``least`` turns; warm-up is not counted.
    """
    repeats = {}
    for name, call in calls.items():
        call()
        repeats[name] = max(1, int(TURN / _seconds(call, 1)))
    turns: dict[str, list[float]] = {name: [] for name in calls}
    end, done = time.perf_counter() + budget * len(calls), 0
    while time.perf_counter() < end or done < least:
        for name, call in calls.items():
            turns[name].append(_seconds(call, repeats[name]))
        done += 1
    return {name: np.array(seconds) for name, seconds in turns.items()}


def _seconds(call: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter names packages that nobody here needs, the quantiser a pass that ONNX Runtime makes anyway when it
    opens the graph; both for each of dozens of graphs."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

"""Does the exported graph answer as the module does, at every legal shape, and whatever else is in the batch?"""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
import torch

from common.errors import OperatorError
from contracts.models import Limits
from contracts.tensors import BATCH, Signature

Arrays = dict[str, np.ndarray]
Sample = Callable[[dict[str, int]], Arrays]
"""Makes valid inputs for given sizes of the named dimensions, ``batch`` among them."""
Exempt = Callable[[Arrays], np.ndarray]
"""From the module's outputs: bool (batch,), rows where a hair's breadth decides and the answers may differ."""
BACK = slice(None, None, -1)
REMEDY = "nothing was published; correct the module or its export"


class Bounds(NamedTuple):
    """Shortest and longest legal size of one dynamic dimension."""

    shortest: int
    longest: int


class Parity(NamedTuple):
    """What the comparison saw."""

    worst: dict[str, float]
    """Largest absolute difference of each output, over all shapes, besides the exempt rows."""
    rows: int
    exempt: int
    """Rows left out because the module itself was at a tie."""


def parity(
    module: torch.nn.Module,
    graph: Path,
    signature: Signature,
    sample: Sample,
    limits: Limits,
    *,
    bounds: Mapping[str, Bounds] | None = None,
    tolerance: float = 1e-4,
    exempt: Exempt | None = None,
) -> Parity:
    """Compare the module with the graph in ONNX Runtime over batch 1, odd, max, and the ends of every dynamic dim.

    Floating outputs may differ by ``tolerance`` (absolute), all others must be equal. Each batch is also run turned
    around and cut in two: its rows must answer as before.

    Raises OperatorError that names the output, the sizes and the difference.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [t.name for t in signature.outputs]
    worst, rows, exempted = dict.fromkeys(names, 0.0), 0, 0
    for sizes in _shapes(signature, limits, bounds or {}):
        inputs = sample(sizes)
        expected = run(module, signature, inputs)
        keep = ~exempt(expected) if exempt else np.ones(sizes[BATCH], bool)
        rows, exempted = rows + sizes[BATCH], exempted + int((~keep).sum())
        cut = sizes[BATCH] // 2
        parts = (slice(0, cut), slice(cut, None)) if cut else (slice(None),)
        for label, answer in (
            ("", _onnx(session, names, inputs)),
            (
                " turned around",
                _rows(_onnx(session, names, _rows(inputs, BACK)), BACK),
            ),
            (" cut in two", _joined([_onnx(session, names, _rows(inputs, part)) for part in parts])),
        ):
            for name in names:
                apart = _apart(expected[name], answer[name], keep)
                if not apart <= (tolerance if expected[name].dtype.kind == "f" else 0.0):
                    where = f"at {sizes}{label}"
                    raise OperatorError(f"output {name} {where} differs from torch by {apart:.2e}; {REMEDY}")
                worst[name] = max(worst[name], apart)
    if exempted == rows:
        raise OperatorError(f"all {rows} rows were exempt from parity, so nothing was compared; {REMEDY}")
    return Parity(worst, rows, exempted)


def run(module: torch.nn.Module, signature: Signature, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """The module's outputs by name, in eval mode without gradients; its training flags are as before afterwards."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.inference_mode():
            answer = module(*(torch.from_numpy(inputs[t.name].copy()) for t in signature.inputs))
    finally:
        for part, flag in training.items():
            part.training = flag
    outputs = (answer,) if isinstance(answer, torch.Tensor) else answer
    return {t.name: out.numpy() for t, out in zip(signature.outputs, outputs, strict=True)}


def _shapes(signature: Signature, limits: Limits, bounds: Mapping[str, Bounds]) -> list[dict[str, int]]:
    """Every legal combination of batch 1, 3, max and each dynamic dimension's ends; the batch gives way to the cost."""
    if signature.dynamic != bounds.keys():
        raise OperatorError(f"bounds are for {sorted(bounds)}, the dynamic dims are {sorted(signature.dynamic)}")
    shapes: list[dict[str, int]] = []
    for ends in itertools.product(*(sorted(set(bounds[name])) for name in sorted(bounds))):
        sizes = dict(zip(sorted(bounds), ends, strict=True))
        most = min(limits.max_rows, limits.max_cost // int(np.prod(ends, dtype=np.int64)))
        if most < 1:
            raise OperatorError(f"one row at {sizes} costs over max_cost {limits.max_cost}: raise it")
        shapes += [{BATCH: rows, **sizes} for rows in sorted({1, min(3, most), most})]
    return shapes


def _onnx(session: ort.InferenceSession, names: list[str], inputs: Arrays) -> Arrays:
    return dict(zip(names, map(np.asarray, session.run(names, inputs)), strict=True))


def _rows(arrays: Arrays, part: slice) -> Arrays:
    return {name: np.ascontiguousarray(array[part]) for name, array in arrays.items()}


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _apart(expected: np.ndarray, answer: np.ndarray, keep: np.ndarray) -> float:
    if expected.shape != answer.shape or expected.dtype != answer.dtype:
        return float("inf")
    return float(np.abs(expected[keep].astype(np.float64) - answer[keep].astype(np.float64)).max(initial=0.0))

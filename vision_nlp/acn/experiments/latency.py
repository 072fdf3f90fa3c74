"""What a network costs to serve: size of its file, and ONNX Runtime's time beside the whole residual network."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch

from common.export.onnx import export
from contracts.tensors import Signature
from contracts.vision_nlp import LOGITS, PIXELS
from vision_nlp.acn.wiring import AutoCompressing

Session = onnxruntime.InferenceSession
BATCHES = {1: 500, 32: 150}
"""Rows of a call, and calls."""


class Served(NamedTuple):
    """One exported network, one thread."""

    megabytes: float
    """Of its ONNX file."""
    p50: dict[int, float]
    """Median microseconds of a call, by batch."""
    speed: dict[int, float]
    """The reference's median of the same minute over this one, by batch."""


class Bench:
    """Times networks of one depth and wiring once, each call next to one of the reference's.

    Weights do not matter to the time, hence ``fresh(kind, depth)`` and no seed.
    """

    def __init__(
        self, fresh: Callable[[str, int], AutoCompressing], signature: Signature, reference: tuple[str, int]
    ) -> None:
        """``reference``: kind and depth."""
        self._fresh, self._signature = fresh, signature
        self._opened = cache(self._open)
        self._reference = reference
        self.served = cache(self._time)

    def _time(self, kind: str, depth: int) -> Served:
        session, megabytes = self._opened(kind, depth)
        reference, _ = self._opened(*self._reference)
        p50, speed = {}, {}
        for batch, calls in BATCHES.items():
            own, other = interleaved(session, reference, batch, calls)
            p50[batch], speed[batch] = own, other / own
        return Served(megabytes, p50, speed)

    def _open(self, kind: str, depth: int) -> tuple[Session, float]:
        pixels = torch.zeros(2, int(self._signature.inputs[0].dims[1]))
        with TemporaryDirectory(prefix="kithara-claims-") as folder:
            path = Path(folder) / "model.onnx"
            export(self._fresh(kind, depth), self._signature, {PIXELS: pixels}, path)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = Session(path, options, providers=["CPUExecutionProvider"])
            return session, path.stat().st_size / 1e6


def interleaved(one: Session, other: Session, batch: int, calls: int) -> tuple[float, float]:
    """Median microseconds of both; each call of one is followed by a call of the other."""
    pixels = np.random.default_rng(0).standard_normal((batch, one.get_inputs()[0].shape[1])).astype(np.float32)
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(calls + 5):
        for session, times in zip((one, other), taken, strict=True):
            began = time.perf_counter()
            session.run([LOGITS], {PIXELS: pixels})
            if number >= 5:  # the first calls allocate
                times.append(1e6 * (time.perf_counter() - began))
    return median(taken[0]), median(taken[1])


def parameters(model: AutoCompressing) -> int:
    return sum(p.numel() for p in model.parameters())

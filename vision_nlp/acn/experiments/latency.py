"""What a network costs to serve: size of its file, and ONNX Runtime's time beside the whole residual network."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from common.export.latency import BATCHES, Run, interleaved, save
from contracts.tensors import Signature
from vision_nlp.acn.wiring import AutoCompressing

SECONDS = 0.2
"""Of each network at each batch size."""


class Served(NamedTuple):
    """One exported network, one thread."""

    megabytes: float
    """Of its ONNX file."""
    p50: dict[int, float]
    """Median microseconds of a call, by batch."""
    speed: dict[int, float]
    """The reference's median of the same minute over this one, by batch."""


class Bench:
    """Times networks of one depth and wiring once, in turns with the reference.

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
        run, megabytes = self._opened(kind, depth)
        reference, _ = self._opened(*self._reference)
        width = int(self._signature.inputs[0].dims[1])
        p50, speed = {}, {}
        for batch in BATCHES:
            rows = np.random.default_rng(0).standard_normal((batch, width), dtype=np.float32)
            turns = interleaved({"own": partial(run, rows), "reference": partial(reference, rows)}, SECONDS)
            own, other = (1e6 * float(np.median(turns[name])) for name in ("own", "reference"))
            p50[batch], speed[batch] = own, other / own
        return Served(megabytes, p50, speed)

    def _open(self, kind: str, depth: int) -> tuple[Run, float]:
        with TemporaryDirectory(prefix="kithara-claims-") as folder:
            path = Path(folder) / "model.onnx"
            return save(self._fresh(kind, depth), self._signature, path), path.stat().st_size / 1e6


def parameters(model: AutoCompressing) -> int:
    return sum(p.numel() for p in model.parameters())

"""The self-check: does an engine answer its golden inputs with the outputs that the exporter saw?"""

import numpy as np

from common.errors import NotReady
from common.runtime.base import Arrays, Call, Engine
from contracts.models import ModelCard


async def prove(engine: Engine, inputs: Arrays, golden: Arrays, card: ModelCard) -> None:
    """Return when every output lies within ``card.golden_tolerance``.

    Raises NotReady that names the output and the difference, and whatever ``engine.infer`` raises.
    """
    if reason := mismatch(await engine.infer(inputs, Call("self-check")), golden, card):
        raise NotReady(reason)


def mismatch(outputs: Arrays, golden: Arrays, card: ModelCard) -> str | None:
    """The first output that is not the golden one, and by how much; None when all are."""
    for tensor in card.signature.outputs:
        reason = _difference(golden[tensor.name], outputs[tensor.name], card.golden_tolerance)
        if reason:
            return f"golden output {tensor.name!r} {reason}; export and publish the model again"
    return None


def _difference(golden: np.ndarray, output: np.ndarray, tolerance: float) -> str | None:
    if golden.dtype != output.dtype or golden.shape != output.shape:
        return f"is {output.dtype} {list(output.shape)} instead of {golden.dtype} {list(golden.shape)}"
    apart = np.abs(output.astype(np.float64) - golden.astype(np.float64)).max(initial=0.0)
    return None if apart <= tolerance else f"differs by {apart:.1e} (at most {tolerance:.1e})"

"""Padding to few lengths, so that a batcher which merges equal shapes only (Triton's) finds something to merge."""

from math import prod

import numpy as np

from common.runtime.base import Arrays
from common.runtime.batching import Size
from contracts.models import Limits
from contracts.tensors import Signature

SMALLEST = 8
"""Shorter sizes are all padded to this one."""


def bucket(size: int) -> int:
    """The next of 8, 12, 16, 24, 32, 48, ...: two per doubling, so at most half of a padded row is padding."""
    power = max(SMALLEST, 1 << (size - 1).bit_length())
    return power * 3 // 4 if power > SMALLEST and size <= power * 3 // 4 else power


def bucketed(size: Size, limits: Limits) -> Size:
    """The shape to send: dynamic sizes rounded up, or as they are where the padding would exceed ``max_cost``."""
    padded = Size(size.rows, tuple(map(bucket, size.dynamic)))
    return padded if size.rows * prod(padded.dynamic) <= limits.max_cost else size


def pad(signature: Signature, dims: tuple[str, ...], request: Arrays, size: Size, to: Size) -> Arrays:
    """``request`` of ``size`` filled with each tensor's ``pad`` up to ``to``; ``dims`` names the dynamic sizes."""
    if size == to:
        return request
    missing = dict(zip(dims, (b - a for a, b in zip(size.dynamic, to.dynamic, strict=True)), strict=True))
    return {
        t.name: np.pad(request[t.name], [(0, missing.get(str(dim), 0)) for dim in t.dims], constant_values=t.pad)
        for t in signature.inputs
    }

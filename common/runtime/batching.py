"""Pure functions behind the micro-batcher: what a request costs, which requests share a batch, merge and split."""

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import NamedTuple

import numpy as np

from common.runtime.base import Arrays
from common.runtime.cost import CostModel, Load
from common.runtime.tensors import DTYPES
from contracts.models import Limits
from contracts.tensors import BATCH, Signature, Tensor


class Size(NamedTuple):
    """Rows of a request and its sizes along the signature's dynamic dimensions, in the order of ``Layout.dims``."""

    rows: int
    dynamic: tuple[int, ...]

    @property
    def load(self) -> Load:
        return Load(self.rows, prod(self.dynamic))


class Layout:
    """Merges requests into one execution of a graph and splits its answer again.

    ``split(run(merge(requests)))`` equals ``[run(request) for request in requests]`` for every graph whose rows do not
    influence one another and that ignores padding, as ``Signature`` demands.
    """

    def __init__(self, signature: Signature) -> None:
        self.inputs, self.outputs = signature.inputs, signature.outputs
        self.dims = tuple(sorted(signature.dynamic))
        self._rows_of = signature.inputs[0].name
        self._found = [
            next((t.name, t.dims.index(dim)) for t in signature.inputs if dim in t.dims) for dim in self.dims
        ]

    def size(self, request: Arrays) -> Size:
        """Rows and dynamic sizes of a checked request."""
        rows = len(request[self._rows_of])
        return Size(rows, tuple([request[name].shape[axis] for name, axis in self._found]) if self._found else ())

    def merge(self, requests: Sequence[Arrays], sizes: Sequence[Size]) -> Arrays:
        """Concatenate along the batch; shorter requests are filled up with ``Tensor.pad``."""
        if len(requests) == 1:
            return requests[0]
        if not self.dims or all(size.dynamic == sizes[0].dynamic for size in sizes):
            return {t.name: np.concatenate([request[t.name] for request in requests]) for t in self.inputs}
        whole = padded(sizes)
        return {t.name: self._pad(t, [request[t.name] for request in requests], whole) for t in self.inputs}

    def _pad(self, tensor: Tensor, parts: Sequence[np.ndarray], whole: Size) -> np.ndarray:
        out = np.full(self._shape(tensor, whole), tensor.pad, DTYPES[tensor.dtype])
        start = 0
        for part in parts:
            stop = start + len(part)
            out[(slice(start, stop), *map(slice, part.shape[1:]))] = part
            start = stop
        return out

    def split(self, outputs: Arrays, sizes: Sequence[Size]) -> list[dict[str, np.ndarray]]:
        """The answer of each request, trimmed along the dimensions that its inputs name. Views, no copies."""
        answers: list[dict[str, np.ndarray]] = []
        start = 0
        for size in sizes:
            rows = slice(start, start + size.rows)
            if self.dims:
                answers.append({t.name: outputs[t.name][(rows, *self._trim(t, size))] for t in self.outputs})
            else:
                answers.append({t.name: outputs[t.name][rows] for t in self.outputs})
            start += size.rows
        return answers

    def _trim(self, tensor: Tensor, size: Size) -> list[slice]:
        return [slice(dim if isinstance(dim, int) else size.dynamic[self.dims.index(dim)]) for dim in tensor.dims[1:]]

    def _shape(self, tensor: Tensor, size: Size) -> list[int]:
        known = {BATCH: size.rows, **dict(zip(self.dims, size.dynamic, strict=True))}
        return [dim if isinstance(dim, int) else known[dim] for dim in tensor.dims]


def padded(sizes: Sequence[Size]) -> Size:
    """Rows together, and the largest of each dynamic size: the shape of the merged request."""
    return Size(sum(size.rows for size in sizes), tuple(map(max, zip(*(size.dynamic for size in sizes), strict=True))))


def choose(sizes: Sequence[Size], model: CostModel, limits: Limits) -> list[int]:
    """Indices of the waiting requests, given oldest first, that run next; the oldest is always among them.

    Of all groups of neighbours in length that hold the oldest and keep within the limits, the one that does the most
    useful work (rows times their own, unpadded sizes) per predicted second. Without dynamic sizes these are the
    first in the queue, as many as fit.
    """
    if not sizes[0].dynamic:
        return _first(sizes, min(limits.max_rows, limits.max_cost))
    order = sorted(range(len(sizes)), key=lambda i: prod(sizes[i].dynamic))
    at = order.index(0)
    low, high = max(0, at - limits.max_rows + 1), min(len(order), at + limits.max_rows)
    near = [sizes[i] for i in order[low:high]]
    start, stop = _window(near, at - low, model, limits)
    return order[low + start : low + stop]


def _first(sizes: Sequence[Size], most: int) -> list[int]:
    fitting = sum(total <= most for total in accumulate(size.rows for size in sizes))
    return list(range(max(1, fitting)))


def _window(near: Sequence[Size], at: int, model: CostModel, limits: Limits) -> tuple[int, int]:
    """Best ``near[start:stop]`` with ``start <= at < stop``; rows of the tables are starts, columns are stops."""
    dynamic = np.array([size.dynamic for size in near])
    before = np.maximum.accumulate(dynamic[at::-1])[::-1]
    after = np.maximum.accumulate(dynamic[at:])
    volumes = np.maximum(before[:, None], after[None]).prod(axis=-1)
    rows = _between([size.rows for size in near], at)
    useful = _between([size.load.cost for size in near], at)
    rate = useful / np.maximum(model.many(rows, volumes), 1e-12)
    rate[(rows > limits.max_rows) | (rows * volumes > limits.max_cost)] = 0.0
    rate[at, 0] = max(rate[at, 0], 1e-300)
    start, stop = divmod(int(rate.argmax()), rate.shape[1])
    return start, at + stop + 1


def _between(values: Sequence[int], at: int) -> np.ndarray:
    """Table of ``sum(values[start:stop])`` for ``start <= at`` (rows) and ``stop > at`` (columns)."""
    total = np.concatenate([[0], np.cumsum(values)])
    return total[None, at + 1 :] - total[: at + 1, None]

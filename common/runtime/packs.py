"""Rows of one request that share executions."""

from collections.abc import Sequence

from contracts.models import Limits


def packs(lengths: Sequence[int], limits: Limits) -> list[list[int]]:
    """Positions of the rows of each execution: like lengths together, rows times the longest within the limits.

    ``lengths`` are the products of the rows' dynamic sizes. A row that is over the limits stands alone.
    """
    found: list[list[int]] = []
    pack: list[int] = []
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        rows = len(pack) + 1
        if pack and (rows > limits.max_rows or rows * lengths[at] > limits.max_cost):
            found.append(pack)
            pack = []
        pack.append(at)
    return [*found, pack]

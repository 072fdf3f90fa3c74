"""Sums and maxima over many small, ragged sets of rows or columns at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from music_fewshot.lc_protonets.closed import multi_hot

UNPACKED = 1 << 24
"""Cells of a membership table held at once: 16 MiB."""


class Segments(NamedTuple):
    """R non-empty sets of positions, one after the other."""

    members: np.ndarray
    """int64: the positions, ascending within each set"""
    starts: np.ndarray
    """int64 (R,): where each set begins in ``members``"""
    sizes: np.ndarray
    """int64 (R,)"""

    def of(self, row: int) -> np.ndarray:
        """int64: the positions of one set."""
        return self.members[self.starts[row] : self.starts[row] + self.sizes[row]]

    def part(self, rows: slice) -> "Segments":
        """Consecutive sets by themselves."""
        starts, sizes = self.starts[rows], self.sizes[rows]
        return Segments(self.members[starts[0] : starts[-1] + sizes[-1]], starts - starts[0], sizes)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """(R, D): rows (n, D) added up over each set, strictly in order, so equal sets give equal bits.

        Step k adds the k-th member to every set that has one: as many passes as the largest set has members.
        """
        order = np.argsort(-self.sizes, kind="stable")
        starts, sizes = self.starts[order], self.sizes[order]
        total = rows[self.members[starts]]
        for step in range(1, int(sizes[0])):
            longer = int(np.searchsorted(-sizes, -step))
            total[:longer] += rows[self.members[starts[:longer] + step]]
        found = np.empty_like(total)
        found[order] = total
        return found

    def totals(self, values: np.ndarray) -> np.ndarray:
        """(R,): values (n,) added up over each set."""
        return np.add.reduceat(values[self.members], self.starts)

    def row_totals(self, values: np.ndarray) -> np.ndarray:
        """(Q, R): values (Q, n) added up over each set of columns."""
        return np.add.reduceat(values[:, self.members], self.starts, axis=1)

    def row_best(self, values: np.ndarray) -> np.ndarray:
        """(Q, R): the largest of values (Q, n) in each set of columns."""
        return np.maximum.reduceat(values[:, self.members], self.starts, axis=1)


def segments(masks: Sequence[int], width: int) -> Segments:
    """Of R non-empty bit masks over ``width`` positions; unpacked in pieces, so memory follows the result."""
    step = max(1, UNPACKED // width)
    parts = [masks[start : start + step] for start in range(0, len(masks), step)]
    members = np.concatenate([np.nonzero(multi_hot(part, width))[1] for part in parts])
    sizes = np.array([mask.bit_count() for mask in masks])
    return Segments(members, np.cumsum(sizes) - sizes, sizes)


def groups(group_of: np.ndarray) -> Segments:
    """The positions of each group, where ``group_of`` (n,) numbers the groups from 0."""
    sizes = np.bincount(group_of)
    return Segments(np.argsort(group_of, kind="stable"), np.cumsum(sizes) - sizes, sizes)


def row_norms(rows: np.ndarray) -> np.ndarray:
    """Euclidean norms of (n, D) rows, the same for a row in any batch."""
    return np.sqrt(np.einsum("nd,nd->n", rows, rows))

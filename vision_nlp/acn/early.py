"""Early exit by entropy: rows leave at the first depth that is certain enough. numpy only.

The entropy from which on a row leaves is chosen on validation rows and never on test rows.
"""

from collections.abc import Sequence

import numpy as np

from contracts._base import Record

GRID = tuple(i / 100 for i in (*range(10), *range(10, 30, 2), *range(30, 100, 5), *range(100, 210, 10)))
"""Entropies tried, in nats: at 0 no row leaves early; ln 10 = 2.30 is that of ten equal probabilities."""


class Leaving(Record, frozen=True, kw_only=True):
    """Early exit at one entropy."""

    entropy: float
    """A row leaves where its softmax has less than this, in nats."""
    accuracy: float
    """Share of 1."""
    mean_depth: float
    """Blocks that a row runs, on average."""


def entropies(logits: np.ndarray) -> np.ndarray:
    """Entropy of the softmax over the last axis, in nats: float64, the shape of ``logits`` without that axis."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -(np.exp(log_p) * log_p).sum(-1)


def leave(entropy: np.ndarray, threshold: float) -> np.ndarray:
    """int64 (n,): the number of the exit at which each row leaves; ``entropy`` is (exits, n), by rising depth.

    The first exit with less than ``threshold``, or else the last one.
    """
    certain = entropy < threshold
    certain[-1] = True
    return certain.argmax(0)


def try_exits(
    logits: np.ndarray, labels: np.ndarray, depths: Sequence[int], grid: Sequence[float] = GRID
) -> tuple[Leaving, ...]:
    """Accuracy and mean depth at every entropy of ``grid``.

    ``logits`` (L + 1, n, classes) of all sub-networks, ``labels`` (n,), ``depths`` of the exits, rising, the last is L.
    """
    read = logits[list(depths)]
    entropy, right = entropies(read), read.argmax(2) == labels
    rows = np.arange(len(labels))
    tried = []
    for threshold in grid:
        at = leave(entropy, threshold)
        accuracy, mean_depth = float(right[at, rows].mean()), float(np.asarray(depths)[at].mean())
        tried.append(Leaving(entropy=threshold, accuracy=accuracy, mean_depth=mean_depth))
    return tuple(tried)


def choose_exit(tried: Sequence[Leaving], full: float, tolerance: float) -> Leaving:
    """The cheapest of those within ``tolerance`` points of ``full``, the accuracy of the whole network as a share of 1.

    Raises ValueError without any; entropy 0 in the grid, at which every row runs through, always is one.
    """
    enough = [leaving for leaving in tried if leaving.accuracy >= full - tolerance / 100 - 1e-9]
    return min(enough, key=lambda leaving: (leaving.mean_depth, leaving.entropy))

"""F1 of multi-label predictions (specification, section 1.12)."""

from typing import NamedTuple

import numpy as np


class F1(NamedTuple):
    macro: float
    """Mean over the labels; a label that is neither there nor told counts 0"""
    micro: float
    """Over all cells together"""
    predicted: float
    """Mean number of labels told of an item"""
    true: float
    """Mean number of labels of an item"""


def f1(truth: np.ndarray, told: np.ndarray) -> F1:
    """Of bool (Q, L) tables, Q > 0."""
    hits, either = (truth & told).sum(0), truth.sum(0) + told.sum(0)
    return F1(
        macro=float(label_f1(truth, told).mean()),
        micro=float(2 * hits.sum() / max(1, either.sum())),
        predicted=float(told.sum(1).mean()),
        true=float(truth.sum(1).mean()),
    )


def label_f1(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    """float64 (L,): 2 hits / (true + told), 0 where that is undefined."""
    return 2 * (truth & told).sum(0) / np.maximum(1, truth.sum(0) + told.sum(0))

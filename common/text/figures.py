"""What is measured of a multi-label classifier of texts."""

from collections.abc import Iterator

import numpy as np

from common.claims.bootstrap import item_weights, paired_rounds, percentile
from common.claims.similarity import MEASURES, similarity
from contracts._base import Record
from contracts.models import Metric

ROUNDS = 1_000
"""Of the bootstrap over texts behind each interval."""


class Figures(Record, frozen=True, kw_only=True):
    """``metrics.json``: what the export needs, and what its card says."""

    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    metrics: tuple[Metric, ...]


def measured(prefix: str, split: str, said: np.ndarray, truth: np.ndarray) -> Iterator[Metric]:
    """JS, micro-F1 and macro-F1 of bool (items, labels), with 95 % bootstrap intervals over items."""
    drawn = paired_rounds([said], [truth], item_weights(len(truth), ROUNDS))[:, 0, 0]
    for number, name in enumerate(MEASURES):
        value = similarity(said, truth, name)
        yield Metric(name=prefix + name, split=split, value=value, n=len(truth), interval=percentile(drawn[:, number]))

"""How many blocks may go: the smallest sub-network about as good as the whole in micro-F1. numpy only.

Chosen on the development split and never on test texts.
"""

from typing import NamedTuple

import numpy as np

from common.claims.bootstrap import item_weights, paired_rounds, percentile
from common.claims.similarity import MEASURES, similarity
from contracts.models import Interval

ROUNDS = 1_000
MICRO = MEASURES.index("micro_f1")


class Cut(NamedTuple):
    depth: int
    """Blocks that stay (k)."""
    difference: Interval
    """Of micro-F1(k) - micro-F1(L) as shares of 1, by the paired bootstrap over texts."""


def choose_depth(said: np.ndarray, truth: np.ndarray, tolerance: float) -> Cut:
    """The smallest k >= 1 with F(k) >= F(L) - ``tolerance`` points, F being micro-F1.

    ``said`` is bool (L + 1, n, labels), of sub-networks 0..L, against bool (n, labels). The published rule gives no
    tolerance ("comparable performance"). Raises ValueError without a block.
    """
    if len(said) < 2:
        raise ValueError(f"a cut needs one block at least, got {len(said) - 1}")
    figures = np.array([similarity(one, truth, "micro_f1") for one in said])
    depth = 1 + int(np.argmax(figures[1:] >= figures[-1] - tolerance / 100 - 1e-9))
    drawn = paired_rounds([said[depth], said[-1]], [truth], item_weights(len(truth), ROUNDS))[:, :, 0, MICRO]
    return Cut(depth, percentile(drawn[:, 0] - drawn[:, 1]))

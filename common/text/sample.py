"""Inputs that prove an exported text encoder equal to its module, and how much one execution of it may take."""

import numpy as np

from common.export.parity import Sample
from contracts.models import Limits
from contracts.tensors import BATCH
from contracts.text import TOKENS

MAX_ROWS = 64
MAX_COST = 4_096
"""Rows times tokens of one execution; its attention takes at most 4 bytes x heads x positions for each. The largest
execution stays in the server's memory: four times as much costs 100 MB and is no faster per row."""


def limits(longest: int) -> Limits:
    """For an encoder of texts of up to ``longest`` tokens."""
    return Limits(max_rows=MAX_ROWS, max_cost=max(MAX_COST, longest))


def sampler(vocabulary: int) -> Sample:
    """Random tokens, texts from one token to the longest, and rubbish under the padding, which must not show."""

    def sample(sizes: dict[str, int]) -> dict[str, np.ndarray]:
        rows, longest = sizes[BATCH], sizes[TOKENS]
        ids = np.random.default_rng(rows).integers(0, vocabulary, (rows, longest))
        lengths = np.linspace(longest, 1, rows).round().astype(np.int64)
        return {"ids": ids, "mask": np.arange(longest) < lengths[:, None]}

    return sample

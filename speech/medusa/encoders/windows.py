"""Long recordings in overlapping windows whose frames are joined to one sequence (specification, section 5)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

HOP = 320
"""Samples at 16 kHz from frame to frame of every published speech encoder here: 20 ms."""


class Windowing(NamedTuple):
    """All in frames."""

    window: int
    overlap: int
    """Of two neighbours. Each gives up half of it: no kept frame lies near an edge that is not the recording's."""

    @property
    def step(self) -> int:
        return self.window - self.overlap

    def spans(self, samples: int) -> list[tuple[int, int]]:
        """Where each window begins and ends, in samples; the last one is longer than the overlap."""
        over = samples - self.window * HOP
        count = 1 + max(0, -(-over // (self.step * HOP)))
        starts = (i * self.step * HOP for i in range(count))
        return [(start, min(start + self.window * HOP, samples)) for start in starts]

    def joined(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """(frames of the window, dim) of each window, in order -> (frames of the recording, dim)."""
        edge = self.overlap // 2
        first, last = 0, len(parts) - 1
        kept = [
            part[0 if i == first else edge : None if i == last else edge + self.step] for i, part in enumerate(parts)
        ]
        return np.concatenate(kept)

"""How long an execution takes, fitted while the model serves.

    seconds = shape[rows] * (fixed + step * volume + cell * volume * rows)

``volume`` is the product of the padded dynamic sizes (1 when there are none), so the three coefficients are the price
of an execution, of one more position (a recurrent step is paid once for the whole batch) and of one more padded cell.
``shape`` says where kernels depart from the straight line: many are at their best at a certain number of rows.
"""

from typing import NamedTuple

import numpy as np

FORGET = 0.98
"""Weight that an observation keeps with each later one: about fifty executions are remembered."""
BEND = 0.1
"""How far one execution moves the shape towards what it showed."""
STRAIGHTEN = 0.01
"""How far each execution takes the shape back to a straight line."""
OUTLIER = 3.0
"""An execution that took this many times the prediction was disturbed (a page fault, a neighbour) and is clipped."""
SWEEPS = 8


class Load(NamedTuple):
    """The size of one execution."""

    rows: int
    volume: int

    @property
    def cost(self) -> int:
        return self.rows * self.volume


class CostModel:
    """Non-negative least squares over relative errors with exponential forgetting, bent by ``shape``.

    Relative, because a batch that takes 50 ms must not drown what short ones say about the fixed part. Coordinate
    descent starts from the last fit, so what the recent loads do not tell apart stays as it was.
    """

    def __init__(self, max_rows: int) -> None:
        self._theta = [0.0, 0.0, 0.0]
        # Plain numbers: an observation stands between two executions, and numpy is slow on nine of them.
        self._moments = [[0.0, 0.0, 0.0] for _ in range(3)]
        self._target = [0.0, 0.0, 0.0]
        self._octave = np.log2(np.arange(1, max_rows + 1))
        self._near: dict[int, np.ndarray] = {}
        self._shape = np.ones(max_rows)
        self._seen = 0

    def observe(self, load: Load, seconds: float) -> None:
        """Learn from one execution."""
        predicted = self.seconds(load)
        if self._seen > 2 and predicted > 0:
            seconds = min(seconds, OUTLIER * predicted)
            self._reshape(load.rows, seconds / predicted)
        weight = self._bend(load.rows) / max(seconds, 1e-9)
        x = (weight, weight * load.volume, weight * load.cost)
        for i, row in enumerate(self._moments):
            self._moments[i] = [FORGET * old + x[i] * new for old, new in zip(row, x, strict=True)]
        self._target = [FORGET * old + new for old, new in zip(self._target, x, strict=True)]
        self._seen += 1
        self._fit()

    def _reshape(self, rows: int, ratio: float) -> None:
        """Bend the shape at ``rows``, and less at neighbouring row counts, towards ``ratio`` times what it is."""
        at = self._index(rows)
        near = self._near.get(at)
        if near is None:
            near = self._near[at] = np.maximum(0.0, 1.0 - np.abs(self._octave - self._octave[at]))
        # The pull towards 1 leaves the level of the costs to the straight line, which alone reaches all row counts.
        self._shape *= 1.0 + near * (BEND * (ratio - 1.0) + STRAIGHTEN * (1.0 - self._shape))

    def _index(self, rows: int) -> int:
        return min(rows, self._shape.size) - 1

    def _bend(self, rows: int) -> float:
        return float(self._shape[self._index(rows)])

    def _fit(self) -> None:
        moments, target, theta = self._moments, self._target, self._theta
        for _ in range(SWEEPS):
            for i in (0, 1, 2):
                j, k = i - 1, i - 2  # the other two, counted from the end
                others = moments[i][j] * theta[j] + moments[i][k] * theta[k]
                theta[i] = max(0.0, (target[i] - others) / moments[i][i])

    def seconds(self, load: Load) -> float:
        """Predicted duration."""
        fixed, step, cell = self._theta
        return self._bend(load.rows) * (fixed + step * load.volume + cell * load.cost)

    def overhead(self, volume: int) -> float:
        """Seconds that two executions of one row save by being one."""
        alone, together = self.seconds(Load(1, volume)), self.seconds(Load(2, volume))
        return min(max(0.0, 2 * alone - together), alone)

    def within(self, seconds: float) -> int:
        """Largest cost that runs within ``seconds`` whatever its volume; 0 or less when none does."""
        fixed, step, cell = self._theta
        return int((seconds - fixed) / (step + cell or 1e-9))

    def many(self, rows: np.ndarray, volumes: np.ndarray) -> np.ndarray:
        """``seconds`` of many loads: [n] or [n, m] integers in, float64 of the same shape out."""
        fixed, step, cell = self._theta
        return self._shape[np.minimum(rows, self._shape.size) - 1] * (fixed + volumes * (step + cell * rows))

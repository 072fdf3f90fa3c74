"""From which probability on a label counts as on: chosen on the development split, never on what is reported."""

import numpy as np


def best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The threshold of one label with the highest F1 on float (n,) against bool (n,); 0.5 where no truth is on.

    All n cuts are tried. It lies halfway to the next lower probability; of equal F1 the highest threshold is taken.
    """
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    p, hits = probabilities[order], np.cumsum(truth[order])
    # F1 = 2 TP / (said + true) when the first k are said to be on.
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + truth.sum())
    lower = np.append(p[1:], 0.0)
    f1[p == lower] = -1.0  # no threshold parts equal probabilities
    cut = int(f1.argmax())
    return float((p[cut] + lower[cut]) / 2)


def best_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """One for each label: float (n, labels) against bool (n, labels) -> float64 (labels,)."""
    return np.array([best_threshold(p, t) for p, t in zip(probabilities.T, truth.T, strict=True)])

"""Pieces of equal length."""

import numpy as np


def windows(samples: np.ndarray, window: int) -> np.ndarray:
    """float32 (n,), n > 0 -> float32 (max(1, n // window), window), without overlap.

    A clip shorter than one window is repeated until it fills one; what does not fill a last window is dropped.
    """
    if len(samples) < window:
        return np.resize(samples, (1, window))
    rows = len(samples) // window
    return samples[: rows * window].reshape(rows, window)

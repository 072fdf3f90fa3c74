"""Temperature and calibration error (arXiv 1706.04599). numpy alone."""

import numpy as np

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
"""Between which a temperature is looked for; on separable clips the best one would be 0."""


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (n, classes)"""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """T that minimises the soft cross-entropy of logits / T, by golden section over log T.

    The cross-entropy is convex in 1 / T, so it has one minimum in log T as well.
    """

    def cost(log_t: float) -> float:
        return -float((targets * log_softmax(logits / np.exp(log_t))).sum(1).mean())

    low, high, golden = np.log(COLDEST), np.log(HOTTEST), (np.sqrt(5) - 1) / 2
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if cost(left) <= cost(right) else (left, high)
    return float(np.exp((low + high) / 2))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """ECE (section 2): mean distance of confidence and accuracy over equal bins of confidence, weighted by their
    clips."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    apart = np.bincount(place, confidence - right, bins)
    return float(np.abs(apart).sum() / len(labels))


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and clips of every bin that holds one."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[place == b].mean()), float(right[place == b].mean()), int((place == b).sum()))
        for b in np.unique(place).tolist()
    ]

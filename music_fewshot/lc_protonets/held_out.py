"""Cosines of a support item to prototypes that are formed without it."""

import numpy as np

from music_fewshot.lc_protonets.closed import multi_hot
from music_fewshot.lc_protonets.index import CHUNK, EPSILON, TagIndex
from music_fewshot.lc_protonets.sums import row_norms

LOST = -2.0
"""Below every cosine: the item was all that the prototype was made of."""


def label_cosines(index: TagIndex) -> np.ndarray:
    """float64 (S, labels): each support item and each label's prototype without it; ``LOST`` where nothing is left."""
    cosines = np.where(index.supported, index.label_similarities(index.embeddings), LOST)
    items, labels = np.nonzero(multi_hot(index.label_sets, index.labels))
    step = max(1, CHUNK // index.embeddings.shape[1])
    for start in range(0, len(items), step):
        item, label = items[start : start + step], labels[start : start + step]
        cosines[item, label] = without(index.embeddings[item], index.label_sums[label], index.label_counts[label])
    return cosines


def without(items: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """float64 (n,): row by row, an item (n, D) and the mean of what is left when it is taken from a sum of its group.

    The difference is formed first and measured then: no small number is the difference of two large ones.
    """
    left = (sums - items) / np.maximum(counts - 1, 1)[:, None]
    scale = (row_norms(items) + EPSILON) * (row_norms(left) + EPSILON)
    return np.where(counts > 1, np.clip(np.einsum("nd,nd->n", items, left) / scale, -1, 1), LOST)

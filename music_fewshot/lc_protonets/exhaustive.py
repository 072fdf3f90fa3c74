"""The rule as it is written, over all label combinations: exponential in the labels of an item. For tests and timing.

Combinations, prototypes, cosines and the pick are computed one by one (specification, sections 1.1 to 1.4 and 3.1);
nothing is shared with the closed-set matcher but the two constants that say what a cosine is and when two are equal.
"""

from collections.abc import Sequence
from itertools import combinations as subsets

import numpy as np

from music_fewshot.lc_protonets.index import EPSILON, TIE


def label_combinations(label_sets: Sequence[int]) -> tuple[int, ...]:
    """Every non-empty subset of every item's label set, in the order of first enumeration: by item, size, labels."""
    found: dict[int, None] = {}
    for mask in label_sets:
        labels = [label for label in range(mask.bit_length()) if mask >> label & 1]
        for size in range(1, len(labels) + 1):
            for subset in subsets(labels, size):
                found.setdefault(sum(1 << label for label in subset))
    return tuple(found)


def prototypes(embeddings: np.ndarray, label_sets: Sequence[int], combinations: Sequence[int]) -> np.ndarray:
    """float64 (L, D): for each combination the mean embedding of the items that carry all of it."""
    rows = np.asarray(embeddings, dtype=np.float64)
    means = np.empty((len(combinations), rows.shape[1]))
    for i, combination in enumerate(combinations):
        means[i] = rows[[mask & combination == combination for mask in label_sets]].mean(0)
    return means


def similarity_table(queries: np.ndarray, means: np.ndarray) -> np.ndarray:
    """float64 (Q, L): cosines, epsilon added to each norm."""
    rows = np.asarray(queries, dtype=np.float64)
    scale = np.outer(np.linalg.norm(rows, axis=1) + EPSILON, np.linalg.norm(means, axis=1) + EPSILON)
    return rows @ means.T / scale


def pick(similarities: np.ndarray, combinations: Sequence[int]) -> int:
    """The combination that one row (L,) of cosines decides for, by going through all of them.

    The greatest cosine wins, of equal ones the larger combination, of equally large ones the first.
    """
    top = max(similarities)
    best, size = 0, 0
    for combination, similarity in zip(combinations, similarities, strict=True):
        if similarity >= top - TIE and combination.bit_count() > size:
            best, size = combination, combination.bit_count()
    return best


def predict(embeddings: np.ndarray, label_sets: Sequence[int], queries: np.ndarray) -> tuple[int, ...]:
    """The label set of each query: a bit mask."""
    combinations = label_combinations(label_sets)
    table = similarity_table(queries, prototypes(embeddings, label_sets, combinations))
    return tuple(pick(row, combinations) for row in table)

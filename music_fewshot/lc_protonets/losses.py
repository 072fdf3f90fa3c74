"""Losses of an episode: LCP over closed label sets, ML-PN and One-vs-Rest over labels (specification, 1.2-1.6, 3.2).

All are binary cross-entropies whose logits are cosine similarities, without temperature, as the paper's are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from music_fewshot.lc_protonets.closed import multi_hot

NORM_EPSILON = 1e-8
"""Added to every norm, as in the released code."""
EXACT_LABELS = 53
"""Labels of a closed set up to which the counts fit a float64; above, they are Python integers, slower and as exact."""


class Weights(NamedTuple):
    """What each closed set's two cross-entropies weigh; all together 1."""

    positive: Float[np.ndarray, "queries sets"]
    """float64: the share of (query, combination) pairs with this closure whose combination the query carries."""
    negative: Float[np.ndarray, "queries sets"]


def prototypes(
    support: Float[Tensor, "support dimensions"], member: Bool[Tensor, "sets support"]
) -> Float[Tensor, "sets dimensions"]:
    """p_c = (1 / |ext(c)|) sum of e_s over ext(c): the plain mean of raw embeddings (section 1.2)."""
    share = member.to(support.dtype)
    return (share / share.sum(1, keepdim=True)) @ support


def cosine(
    queries: Float[Tensor, "queries dimensions"], others: Float[Tensor, "others dimensions"]
) -> Float[Tensor, "queries others"]:
    """<q, p> / ((|q| + eps)(|p| + eps)) (section 1.3)."""
    a, b = (x / (x.norm(dim=1, keepdim=True) + NORM_EPSILON) for x in (queries, others))
    return a @ b.T


def subsets(sets: Sequence[int], within: Sequence[int]) -> np.ndarray:
    """n1: how many combinations have the closure A and lie in Y, for every Y of ``within`` and closed set A.

    ``sets`` are the bit masks of *all* closed sets of a support. Exact integers (len(within), len(sets)): float64 where
    no set has more than 53 labels, Python integers else.
    """
    labels = max(mask.bit_length() for mask in sets)
    hot = multi_hot(sets, labels).astype(np.int64)
    asked = multi_hot([mask & ((1 << labels) - 1) for mask in within], labels).astype(np.int64)
    size = hot.sum(1)
    whole = np.float64 if size.max() <= EXACT_LABELS else object
    # n1(A, Y) = 2^|A & Y| - 1 - sum of n1(B, Y) over closed B strictly inside A (section 3.2), by size of A.
    n1 = np.array(2, dtype=whole) ** (asked @ hot.T).astype(whole) - 1
    inside = (hot @ hot.T == size[:, None]) & (size[:, None] < size)
    for level in np.unique(size)[1:]:
        n1[:, size == level] -= n1 @ inside[:, size == level].astype(whole)
    return n1


def weights(sets: Sequence[int], query_sets: Sequence[int]) -> Weights:
    """Of the mean over all (query, combination) pairs, without building any combination."""
    carried = subsets(sets, query_sets)
    every = subsets(sets, [(1 << max(mask.bit_length() for mask in sets)) - 1])
    pairs = sum(map(int, every[0])) * len(query_sets)
    return Weights((carried / pairs).astype(np.float64), ((every - carried) / pairs).astype(np.float64))


def closed_set_loss(logits: Float[Tensor, "queries sets"], weights: Weights) -> Float[Tensor, ""]:
    """L = 1 / (Q sum m) sum_q sum_A n1 softplus(-z) + (m - n1) softplus(z): equal to the mean of the binary
    cross-entropy over all label combinations (section 3.2)."""
    positive, negative = (torch.from_numpy(w).to(logits) for w in weights)
    return (positive * F.softplus(-logits) + negative * F.softplus(logits)).sum()


def label_loss(logits: Float[Tensor, "queries labels"], truth: Bool[Tensor, "queries labels"]) -> Float[Tensor, ""]:
    """Mean binary cross-entropy over queries and labels: ML-PN; One-vs-Rest where one label a query is on."""
    return F.binary_cross_entropy_with_logits(logits, truth.to(logits.dtype))

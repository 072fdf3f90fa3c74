"""Decision rules: how cosines become tags. ``contracts.music_fewshot.Rule`` says what each does.

Beside the paper's two rules (``lcp``, ``ml_pn``) stand calibrated ones (specification, section 0, point 5): with a
trained backbone nearly all cosines are positive, so ``ml_pn`` tells nearly every tag.
"""

from typing import NamedTuple, assert_never

import numpy as np

from common.errors import Invalid
from contracts.music_fewshot import Decision
from music_fewshot.lc_protonets.closed import multi_hot
from music_fewshot.lc_protonets.held_out import LOST, label_cosines
from music_fewshot.lc_protonets.index import EPSILON, TIE, UNSUPPORTED, TagIndex, checked, first_best
from music_fewshot.lc_protonets.sums import row_norms

BELOW = 1e-9
"""A found threshold lies this far below the support cosine that it is to let through: rounding cannot shut it out."""


class Decided(NamedTuple):
    """Tags of Q queries."""

    chosen: np.ndarray
    """bool (Q, labels)"""
    scores: np.ndarray
    """float64 (Q, labels): what the rule ranks by. ``lcp``: the best cosine among the sets that hold the label;
    ``blend``: the mean of that and the cosine to the label's own prototype; ``centred``: the cosine after centring;
    else the cosine to the label's own prototype. -1 without support."""
    k: int | None
    """Of ``topk`` and ``blend``"""
    threshold: float | None
    """Of ``threshold``"""


def decide(index: TagIndex, queries: np.ndarray, decision: Decision) -> Decided:
    """Tags of float (Q, D) queries. Invalid: not finite, or no threshold can be found (``loo_threshold``)."""
    match decision.rule:
        case "lcp":
            similarities = index.similarities(queries)
            chosen = multi_hot([index.sets[i] for i in first_best(similarities)], index.labels)
            return Decided(chosen, index.best_with_label(similarities), None, None)
        case "ml_pn":
            return above(label_scores(index, queries), 0.0, index.supported)
        case "centred":
            return above(centred_scores(index, queries), 0.0, index.supported)
        case "threshold":
            threshold = loo_threshold(index) if decision.threshold is None else decision.threshold
            return above(label_scores(index, queries), threshold, index.supported)._replace(threshold=threshold)
        case "topk":
            return best(label_scores(index, queries), decision.k or default_k(index), index.supported)
        case "blend":
            # (cos(q, p_label) + max over closed sets A that hold it of cos(q, p_A)) / 2; specification, section 0.5
            combined = index.best_with_label(index.similarities(queries))
            scores = (label_scores(index, queries) + combined) / 2
            return best(scores, decision.k or default_k(index), index.supported)
        case _:
            assert_never(decision.rule)


def default_k(index: TagIndex) -> int:
    """Mean number of labels on a support item, rounded (half up), at least 1."""
    return rounded_mean(sum(mask.bit_count() for mask in index.label_sets), len(index.label_sets))


def rounded_mean(total: int, count: int) -> int:
    """In integers, so that it is the same wherever it is computed."""
    return max(1, (2 * total + count) // (2 * count))


def loo_threshold(index: TagIndex) -> float:
    """The cosine threshold of the best micro-F1 when each support item is held out and compared with the rest.

    Micro, because one threshold serves all labels together; macro would hang on the labels with two or three items.
    Of equally good thresholds the highest. Invalid: no label has two support items, so nothing can be found again.
    """
    if "threshold" not in index.memo:
        scores = label_cosines(index)
        positives = scores[multi_hot(index.label_sets, index.labels)]
        cells = np.sort(scores[:, index.supported], axis=None)
        reachable = np.sort(positives[positives > LOST])
        if not len(reachable):
            raise no_threshold()
        thresholds = reachable - BELOW
        index.memo["threshold"] = best_threshold(
            thresholds, count_above(reachable, thresholds), count_above(cells, thresholds), len(positives)
        )
    return index.memo["threshold"]


def best_threshold(thresholds: np.ndarray, right: np.ndarray, told: np.ndarray, true: int) -> float:
    """The highest of the ascending thresholds that has the best F1 = 2 right / (told + true)."""
    f1 = 2 * right / (told + true)
    return float(thresholds[len(f1) - 1 - f1[::-1].argmax()])


def count_above(ascending: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """int64: how many of the sorted scores ``above`` lets through at each threshold."""
    return len(ascending) - np.searchsorted(ascending, thresholds + TIE, side="right")


def no_threshold() -> Invalid:
    """For a support that cannot tell a good threshold from a bad one."""
    return Invalid.field("threshold", "no tag has two support clips to find it with: give a threshold or another rule")


def label_scores(index: TagIndex, queries: np.ndarray) -> np.ndarray:
    """float64 (Q, labels)"""
    return np.where(index.supported, index.label_similarities(queries), UNSUPPORTED)


def centred_scores(index: TagIndex, queries: np.ndarray) -> np.ndarray:
    """float64 (Q, labels): cosine after the support mean is taken from every embedding.

    A label whose prototype is the support mean itself has cosine 0, as has a query that is.
    """
    rows = checked(queries, index.embeddings.shape[1]) - index.support_mean
    return np.where(index.supported, cosines(rows, index.label_means - index.support_mean), UNSUPPORTED)


def cosines(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 (Q, R) of (Q, D) and (R, D)."""
    scale = (row_norms(rows) + EPSILON)[:, None] * (row_norms(others) + EPSILON)
    return np.clip(rows @ others.T / scale, -1, 1)


def above(scores: np.ndarray, threshold: float | np.ndarray, supported: np.ndarray) -> Decided:
    """Each supported label with a score above the threshold by more than rounding."""
    return Decided((scores > threshold + TIE) & supported, scores, None, None)


def best(scores: np.ndarray, k: int | np.ndarray, supported: np.ndarray) -> Decided:
    """The k best supported labels of each row, or all that there are; the first label where scores tie.

    Scores are ranked in steps of ``TIE``: tags that always come together have equal scores, up to rounding.
    """
    ranked = np.where(supported, -np.round(scores / TIE), np.inf)
    rank = np.empty(scores.shape, dtype=np.int64)
    np.put_along_axis(rank, np.argsort(ranked, axis=1, kind="stable"), np.arange(scores.shape[1])[None], axis=1)
    return Decided((rank < k) & supported, scores, k if isinstance(k, int) else None, None)

"""How alike two labellings are: JS, micro-F1 and macro-F1 (specification, section 4), within and between runs.

A labelling is a bool array (items, labels). All three measures are symmetric functions of sums over items, so that one
small matrix per pair (``item_parts``) serves the plain value and every bootstrap round alike.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Literal, NamedTuple

import numpy as np

from common.errors import Invalid

Measure = Literal["js", "micro_f1", "macro_f1"]
MEASURES: tuple[Measure, ...] = ("js", "micro_f1", "macro_f1")
"""In the order of the last axis of ``measures``."""


class Scores(NamedTuple):
    """A prediction against a truth. Precision and recall are the only figures here that tell the two apart."""

    js: float
    micro_f1: float
    macro_f1: float
    micro_precision: float
    micro_recall: float
    macro_precision: float
    macro_recall: float
    label_f1: tuple[float, ...]
    """In label-set order."""


class Spread(NamedTuple):
    """A similarity over pairs of runs."""

    mean: float
    sd: float
    """Of the population of pairs, as the papers' scripts take it; 0 for one pair."""
    pairs: int


def similarity(a: np.ndarray, b: np.ndarray, measure: Measure = "js") -> float:
    """One measure of two labellings. Raises Invalid when their shapes differ or hold no item or no label."""
    parts = item_parts(a, b)
    return float(measures(parts.sum(0), len(parts))[MEASURES.index(measure)])


def item_parts(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What each item adds to the sums: its JS, |A and B| per label, |A| + |B| per label; float64 (items, 1 + 2 labels).

    Raises Invalid as ``similarity`` does.
    """
    a, b = labelling(a), labelling(b)
    if a.shape != b.shape:
        raise Invalid(f"two labellings of the same items and labels are compared; got shapes {a.shape} and {b.shape}")
    both, either = (a & b).sum(1), (a | b).sum(1)
    # Section 4: |A and B| / |A or B|, 1 where both are empty.
    js = np.where(either == 0, 1.0, both / np.maximum(either, 1))
    return np.concatenate([js[:, None], a & b, a.astype(np.float64) + b], axis=1)


def measures(sums: np.ndarray, items: int) -> np.ndarray:
    """From sums of ``item_parts`` (..., 1 + 2 labels) over ``items`` items to the MEASURES (..., 3)."""
    labels = sums.shape[-1] // 2
    both, sizes = sums[..., 1 : 1 + labels], sums[..., 1 + labels :]
    # F1 = 2 |A and B| / (|A| + |B|), zero division 0.
    micro = _ratio(2 * both.sum(-1), sizes.sum(-1))
    return np.stack([sums[..., 0] / items, micro, _ratio(2 * both, sizes).mean(-1)], axis=-1)


def scores(prediction: np.ndarray, truth: np.ndarray) -> Scores:
    """Every figure of a prediction (items, labels) against a truth of the same shape; raises as ``similarity``."""
    parts = item_parts(prediction, truth)
    js, micro, macro = measures(parts.sum(0), len(parts))
    hit, said, true = ((prediction & truth).sum(0), prediction.sum(0), truth.sum(0))
    return Scores(
        js=float(js),
        micro_f1=float(micro),
        macro_f1=float(macro),
        micro_precision=float(_ratio(hit.sum(), said.sum())),
        micro_recall=float(_ratio(hit.sum(), true.sum())),
        macro_precision=float(_ratio(hit, said).mean()),
        macro_recall=float(_ratio(hit, true).mean()),
        label_f1=tuple(_ratio(2 * hit, said + true).tolist()),
    )


def between(left: Sequence[np.ndarray], right: Sequence[np.ndarray], measure: Measure = "js") -> Spread:
    """All cross pairs of two conditions' runs. Raises Invalid when one of them has no run."""
    if not len(left) or not len(right):
        raise Invalid("a similarity between conditions needs at least one run of each")
    return _spread(product(left, right), measure)


def within(runs: Sequence[np.ndarray], measure: Measure = "js") -> Spread:
    """All unordered pairs of one condition's runs: its consistency. Raises Invalid for fewer than two runs."""
    if len(runs) < 2:
        raise Invalid(f"consistency compares runs; got {len(runs)}, give at least 2 seeds")
    return _spread(combinations(runs, 2), measure)


def labelling(labels: np.ndarray) -> np.ndarray:
    """``labels`` itself. Raises Invalid unless it is a bool array (items, labels) with at least one of each."""
    if labels.ndim != 2 or 0 in labels.shape or labels.dtype != np.bool_:
        raise Invalid(f"a labelling is a bool array (items, labels), not {labels.dtype} {labels.shape}")
    return labels


def _spread(pairs: Iterable[tuple[np.ndarray, np.ndarray]], measure: Measure) -> Spread:
    values = np.array([similarity(a, b, measure) for a, b in pairs])
    return Spread(float(values.mean()), float(values.std()), len(values))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)

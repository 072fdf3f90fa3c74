"""What is measured of answers about clips with one label each. numpy alone."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.claims.bootstrap import item_weights, paired_rounds, percentile
from common.claims.similarity import MEASURES, scores
from contracts._base import Record
from contracts.models import Metric, Use

ROUNDS = 1_000
"""Of the bootstrap over clips behind each interval."""


class Reliability(Record, frozen=True, kw_only=True):
    """One bin of confidence."""

    confidence: float
    """Mean."""
    accuracy: float
    clips: int


class Figures(Record, frozen=True, kw_only=True):
    """``metrics.json``: what the export needs, and what its card says."""

    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    judged: bool
    soft: bool
    """Whether the targets are listeners' votes."""
    use: Use
    temperature: float
    confusion: tuple[tuple[int, ...], ...]
    """Clips of the test split: rows are the truth, columns the answer, in the order of ``classes``."""
    reliability: tuple[Reliability, ...]
    """Of the test split under the temperature."""
    metrics: tuple[Metric, ...]


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """bool (n, classes)"""
    return labels[:, None] == np.arange(classes)


def macro_f1(said: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """Mean F1 of all ``classes``; 0 for one that neither occurs nor is answered (section 9.1)."""
    return scores(one_hot(said, classes), one_hot(labels, classes)).macro_f1


def confusion(said: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes, classes): rows are the truth."""
    return np.bincount(labels * classes + said, minlength=classes**2).reshape(classes, classes)


def unweighted_recall(said: np.ndarray, labels: np.ndarray) -> float:
    """UAR: mean recall of the classes that occur."""
    return float(np.mean([(said[labels == c] == c).mean() for c in np.unique(labels)]))


def concordance(said: np.ndarray, truth: np.ndarray) -> float:
    """CCC = 2 cov / (var + var + (difference of the means)^2), 0 where both are the same constant; (n,) each."""
    apart = said.var() + truth.var() + (said.mean() - truth.mean()) ** 2
    return float(2 * ((said - said.mean()) * (truth - truth.mean())).mean() / apart) if apart > 0 else 0.0


def measured(prefix: str, split: str, said: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Iterator[Metric]:
    """Macro-F1 and micro-F1 with 95 % bootstrap intervals over clips, and UAR."""
    answer, truth = one_hot(said, len(classes)), one_hot(labels, len(classes))
    drawn = paired_rounds([answer], [truth], item_weights(len(truth), ROUNDS))[:, 0, 0]
    found, n = scores(answer, truth), len(truth)
    for name in ("macro_f1", "micro_f1"):
        interval = percentile(drawn[:, MEASURES.index(name)])
        yield Metric(name=prefix + name, split=split, value=getattr(found, name), n=n, interval=interval)
    yield Metric(name=f"{prefix}uar", split=split, value=unweighted_recall(said, labels), n=n)


def per_class(split: str, said: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Iterator[Metric]:
    """F1 of every class; ``n`` counts its clips, and those that were taken for it."""
    answer, truth = one_hot(said, len(classes)), one_hot(labels, len(classes))
    sizes = (answer | truth).sum(0)
    for name, value, n in zip(classes, scores(answer, truth).label_f1, sizes.tolist(), strict=True):
        if n:
            yield Metric(name=f"f1_{name.lower()}", split=split, value=value, n=n)

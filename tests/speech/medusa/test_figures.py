"""Figures against scikit-learn and closed forms (section 9.1)."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from speech.medusa.figures import concordance, confusion, macro_f1, measured, per_class, unweighted_recall

RNG = np.random.default_rng(0)
CLASSES = ("Angry", "Sad", "Happy", "Surprise", "Fear")
LABELS = RNG.integers(4, size=300)
SAID = np.where(RNG.random(300) < 0.5, LABELS, RNG.integers(5, size=300))


def test_macro_f1_counts_all_classes_also_those_that_never_occur() -> None:
    expected = f1_score(LABELS, SAID, labels=range(8), average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]
    assert macro_f1(SAID, LABELS, 8) == pytest.approx(expected)
    assert macro_f1(np.zeros(3, int), np.ones(3, int), 8) == 0.0


def test_the_other_figures_are_scikit_learns() -> None:
    found = {m.name: m for m in measured("", "test", SAID, LABELS, CLASSES)}
    assert found["micro_f1"].value == pytest.approx((SAID == LABELS).mean())
    assert found["uar"].value == pytest.approx(np.mean([(SAID[c == LABELS] == c).mean() for c in range(4)]))
    kept = SAID != 4
    assert unweighted_recall(SAID[kept], LABELS[kept]) == pytest.approx(
        balanced_accuracy_score(LABELS[kept], SAID[kept])
    )
    interval = found["macro_f1"].interval
    assert interval is not None
    assert interval.low < found["macro_f1"].value < interval.high
    np.testing.assert_array_equal(confusion(SAID, LABELS, 5), confusion_matrix(LABELS, SAID, labels=range(5)))
    by_class = {m.name: m.value for m in per_class("test", SAID, LABELS, CLASSES)}
    expected = np.asarray(f1_score(LABELS, SAID, labels=range(5), average=None, zero_division=0.0))  # pyright: ignore[reportArgumentType]
    assert list(by_class) == [f"f1_{name.lower()}" for name in CLASSES]
    assert list(by_class.values()) == pytest.approx(expected.tolist())


def test_concordance() -> None:
    x = RNG.normal(size=200)
    assert concordance(x, x) == pytest.approx(1.0)
    assert concordance(-x, x + 2 * x.mean() - 2 * x.mean()) < 0
    # Equal spread, moved by d: 2 s^2 / (2 s^2 + d^2).
    assert concordance(x + 3, x) == pytest.approx(2 * x.var() / (2 * x.var() + 9))
    assert concordance(2 * x, x) == pytest.approx(4 * x.var() / (5 * x.var() + x.mean() ** 2))
    assert concordance(np.ones(4), np.ones(4)) == 0.0

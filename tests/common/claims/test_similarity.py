from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import f1_score, jaccard_score, precision_recall_fscore_support

from common.claims import bootstrap
from common.claims.bootstrap import item_weights, paired_rounds, percentile, seed_rounds
from common.claims.similarity import MEASURES, Measure, between, scores, similarity, within
from common.errors import Invalid

Pair = tuple[np.ndarray, np.ndarray]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 5)))
    # Whole rows and columns are often empty, which is where the zero divisions are.
    a, b = draw(arrays(np.bool_, shape)), draw(arrays(np.bool_, shape))
    rows, columns = draw(arrays(np.bool_, shape[:1])), draw(arrays(np.bool_, shape[1:]))
    return a & rows[:, None] & columns, b & rows[:, None] & columns


def sklearn_js(a: np.ndarray, b: np.ndarray) -> float:
    """scikit-learn has no both-empty = 1: with zero_division=1 it gives exactly that, item by item."""
    return float(np.mean([jaccard_score(x, y, zero_division=1) for x, y in zip(a, b, strict=True)]))


def as_columns(a: np.ndarray) -> np.ndarray:
    """One label only: scikit-learn would read (items, 1) as binary, a second, empty column keeps it multi-label."""
    return np.pad(a, ((0, 0), (0, 1)))


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_similarities_are_scikit_learns(pair: Pair) -> None:
    prediction, truth = pair
    found = scores(prediction, truth)
    assert found.js == pytest.approx(sklearn_js(truth, prediction))
    labels = list(range(truth.shape[1]))
    for average, values in (
        ("micro", (found.micro_precision, found.micro_recall, found.micro_f1)),
        ("macro", (found.macro_precision, found.macro_recall, found.macro_f1)),
    ):
        expected = precision_recall_fscore_support(
            as_columns(truth), as_columns(prediction), labels=labels, average=average, zero_division=0
        )
        assert values == pytest.approx(expected[:3])
    per_label = f1_score(as_columns(truth), as_columns(prediction), labels=labels, average=None, zero_division=0)
    assert found.label_f1 == pytest.approx(per_label)


@given(pairs(), st.sampled_from(MEASURES))
def test_similarity_is_symmetric_and_agrees_with_scores(pair: Pair, measure: Measure) -> None:
    a, b = pair
    assert similarity(a, b, measure) == similarity(b, a, measure) == getattr(scores(a, b), measure)


def test_both_empty_is_alike_for_js_and_nothing_for_f1() -> None:
    nothing = np.zeros((3, 2), dtype=bool)
    assert [similarity(nothing, nothing, m) for m in MEASURES] == [1.0, 0.0, 0.0]


def test_runs_are_compared_in_all_pairs() -> None:
    left, right = np.random.default_rng(1).random((2, 3, 20, 4)) < 0.4
    cross = np.array([similarity(a, b) for a, b in product(left, right)])
    found = between(left, right)
    assert found == (pytest.approx(cross.mean()), pytest.approx(cross.std(ddof=0)), 9)
    own = np.array([similarity(a, b, "micro_f1") for a, b in combinations(left, 2)])
    assert within(left, "micro_f1") == (pytest.approx(own.mean()), pytest.approx(own.std(ddof=0)), 3)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((2, 3), bool), np.zeros((3, 3), bool), "shapes"),
        (np.zeros((0, 3), bool), np.zeros((0, 3), bool), "bool array"),
        (np.zeros((2, 0), bool), np.zeros((2, 0), bool), "bool array"),
        (np.zeros((2, 3)), np.zeros((2, 3), bool), "float64"),
        (np.zeros(3, bool), np.zeros(3, bool), "bool array"),
    ],
)
def test_other_arrays_are_refused(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        similarity(a, b)


def test_pairs_need_runs() -> None:
    run = np.ones((2, 2), bool)
    with pytest.raises(Invalid, match="at least 2 seeds"):
        within([run])
    with pytest.raises(Invalid, match="at least one run"):
        between([run], [])


def test_a_bootstrap_round_is_the_similarity_of_the_drawn_items() -> None:
    left, right = np.random.default_rng(2).random((2, 2, 15, 3)) < 0.4
    weights = item_weights(15, 4, seed=3)
    found = paired_rounds(left, right, weights)
    assert found.shape == (4, 2, 2, 3)
    for r, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(15), row)
        assert len(drawn) == 15
        for i, j, m in product(range(2), range(2), range(3)):
            assert found[r, i, j, m] == pytest.approx(similarity(left[i][drawn], right[j][drawn], MEASURES[m]))


def test_item_weights_are_shared_by_seed() -> None:
    assert np.array_equal(item_weights(9, 50, seed=4), item_weights(9, 50, seed=4))
    assert not np.array_equal(item_weights(9, 50, seed=4), item_weights(9, 50, seed=5))


@pytest.mark.parametrize(("items", "rounds"), [(9, 50), (1, 7), (13, 3)])
@pytest.mark.parametrize("chunk", [1, 14, 39, 1_000])
def test_item_weights_count_one_stream_of_draws_whatever_the_chunk(monkeypatch, items, rounds, chunk) -> None:
    monkeypatch.setattr(bootstrap, "CHUNK", chunk)
    drawn = np.random.default_rng(4).integers(items, size=(rounds, items), dtype=np.int32)
    expected = [np.bincount(row, minlength=items) for row in drawn]
    assert np.array_equal(item_weights(items, rounds, seed=4), expected)


def test_the_item_interval_has_the_width_of_the_standard_error() -> None:
    a, b = np.random.default_rng(5).random((2, 400, 5)) < 0.4
    js = np.array([similarity(x[None], y[None]) for x, y in zip(a, b, strict=True)])
    found = percentile(paired_rounds([a], [b], item_weights(400, 10_000, seed=6))[:, 0, 0, 0])
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * js.std() / 20, rel=0.05)
    assert found.low < js.mean() < found.high


def test_seeds_as_a_second_level_widen_the_interval_where_runs_differ() -> None:
    rng = np.random.default_rng(7)
    truth = rng.random((300, 4)) < 0.4
    good, bad = truth ^ (rng.random(truth.shape) < 0.02), truth ^ (rng.random(truth.shape) < 0.3)
    rounds = paired_rounds([good, bad, bad], [truth], item_weights(300, 2_000, seed=8))
    items, both = percentile(rounds.mean((1, 2))[:, 0]), percentile(seed_rounds(rounds, seed=9)[:, 0])
    assert both.high - both.low > 2 * (items.high - items.low)
    alike = paired_rounds([good, good], [truth], item_weights(300, 100, seed=8))
    assert seed_rounds(alike, seed=9) == pytest.approx(alike.mean((1, 2)))

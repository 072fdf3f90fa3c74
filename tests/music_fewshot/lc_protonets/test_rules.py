"""Rules against their formulas, written out item by item and label by label."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.errors import Invalid
from contracts.music_fewshot import Decision
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.rules import decide, default_k, loo_threshold

LABELS = 5
label_sets = st.lists(st.integers(1, 2**LABELS - 1), min_size=2, max_size=8)
seeds = st.integers(0, 10_000)


def support(sets: list[int], seed: int) -> tuple[np.ndarray, np.ndarray, TagIndex]:
    """float64 (S, 3), bool (S, LABELS) and their index."""
    rows = np.random.default_rng(seed).standard_normal((len(sets), 3))
    truth = np.array([[mask >> label & 1 for label in range(LABELS)] for mask in sets], dtype=bool)
    return rows, truth, TagIndex.build(rows, sets, LABELS)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / ((np.linalg.norm(one) + 1e-8) * (np.linalg.norm(other) + 1e-8)))


@pytest.mark.parametrize(
    ("sets", "k"),
    [([0b1, 0b11], 2), ([0b1, 0b1, 0b11], 1), ([0b1, 0b11, 0b11], 2), ([0b11, 0b111], 3), ([0b1], 1)],
)
def test_the_default_k_is_the_mean_rounded_half_up(sets: list[int], k: int) -> None:
    """Means of 1.5, 1.33, 1.67, 2.5 (which rounding half to even would take to 2) and 1."""
    assert default_k(support(sets, 0)[2]) == k


@given(sets=label_sets, seed=seeds)
def test_the_threshold_is_the_highest_of_the_best_cuts_through_held_out_cosines(sets: list[int], seed: int) -> None:
    rows, truth, index = support(sets, seed)
    held_out = np.full(truth.shape, -np.inf)
    for item, label in np.ndindex(truth.shape):
        others = [i for i in range(len(sets)) if truth[i, label] and i != item]
        if others:
            held_out[item, label] = cosine(rows[item], rows[others].mean(0))

    def f1(cut: float) -> float:
        told = held_out >= cut - 1e-10
        return float(2 * (told & truth).sum() / (told.sum() + truth.sum()))

    cuts = [cut for cut in held_out[truth].tolist() if cut > -np.inf]
    if not cuts:
        with pytest.raises(Invalid, match="no tag has two support clips"):
            loo_threshold(index)
        return
    best = max(map(f1, cuts))
    wanted = max(cut for cut in cuts if f1(cut) == best)
    assert wanted - 2e-9 < loo_threshold(index) < wanted
    assert decide(index, rows, Decision(rule="threshold")).threshold == loo_threshold(index)


@given(sets=label_sets, seed=seeds)
def test_centred_takes_the_mean_of_the_support_from_query_and_prototype(sets: list[int], seed: int) -> None:
    rows, truth, index = support(sets, seed)
    queries, mean = np.random.default_rng(seed + 1).standard_normal((4, 3)), rows.mean(0)
    carried = np.flatnonzero(truth.any(0) & ~truth.all(0))  # a label of every item is the mean itself: only rounding
    assume(len(carried))
    told = decide(index, queries, Decision(rule="centred"))
    for q, label in np.ndindex(len(queries), len(carried)):
        prototype = rows[truth[:, carried[label]]].mean(0)
        wanted = cosine(queries[q] - mean, prototype - mean)
        assert told.scores[q, carried[label]] == pytest.approx(wanted, abs=1e-6)
        assert told.chosen[q, carried[label]] == (wanted > 0)


@given(sets=label_sets, seed=seeds)
def test_blend_is_the_mean_of_the_own_prototype_and_the_best_combination(sets: list[int], seed: int) -> None:
    rows, truth, index = support(sets, seed)
    query = np.random.default_rng(seed + 1).standard_normal(3)
    told = decide(index, query[None], Decision(rule="blend", k=2))
    wanted = np.full(LABELS, -1.0)
    for label in np.flatnonzero(truth.any(0)):
        combinations = [c for c in range(1, 2**LABELS) if c >> label & 1 and any(c & mask == c for mask in sets)]
        near = [cosine(query, rows[[c & mask == c for mask in sets]].mean(0)) for c in combinations]
        wanted[label] = (cosine(query, rows[truth[:, label]].mean(0)) + max(near)) / 2
    assert told.scores[0] == pytest.approx(wanted, abs=1e-9)
    assert told.chosen.sum() == min(2, truth.any(0).sum())
    assert told.scores[0][told.chosen[0]].min() >= np.sort(wanted)[::-1][:2][-1 if told.chosen.sum() == 2 else 0] - 1e-9


def test_equal_scores_go_to_the_first_label_and_labels_without_support_are_never_told() -> None:
    index = TagIndex.build(np.eye(2), [0b0110, 0b1000], LABELS)
    query = np.array([[1.0, 0.1]])
    assert np.flatnonzero(decide(index, query, Decision(rule="topk", k=1)).chosen[0]).tolist() == [1]
    everything = decide(index, query, Decision(rule="topk", k=LABELS))
    assert np.flatnonzero(everything.chosen[0]).tolist() == [1, 2, 3]
    assert everything.scores[0, [0, 4]].tolist() == [-1, -1]

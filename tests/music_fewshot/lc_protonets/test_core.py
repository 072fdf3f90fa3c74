"""Closed sets, matcher and rules against the rule as it is written, over all label combinations."""

import tracemalloc
from itertools import combinations as subsets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from common.errors import Invalid
from contracts.music_fewshot import MAX_CLOSED_SETS, Decision
from music_fewshot.lc_protonets import exhaustive
from music_fewshot.lc_protonets.closed import TooManyClosedSets, closed_sets, degraded_sets, membership, multiplicities
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.metrics import f1
from music_fewshot.lc_protonets.rules import decide

LABELS = 6
masks = st.integers(1, 2**LABELS - 1)
label_sets = st.lists(masks, min_size=1, max_size=8)


def told(index: TagIndex, queries: np.ndarray) -> tuple[int, ...]:
    return tuple(index.sets[i] for i in index.nearest(queries))


def test_it_predicts_what_the_exhaustive_rule_predicts_in_ten_thousand_cases_with_ties() -> None:
    """Small integers as embeddings: equal prototypes of different extents, duplicates and zeros occur all the time."""
    rng = np.random.default_rng(7)
    cases = ties = 0
    while cases < 10_000:
        labels, items = int(rng.integers(1, 7)), int(rng.integers(1, 9))
        sets = [int(mask) for mask in rng.integers(1, 2**labels, items)]
        embeddings = rng.integers(-1, 2, (items, int(rng.integers(1, 4)))).astype(np.float32)
        queries = rng.integers(-2, 3, (25, embeddings.shape[1])).astype(np.float32)
        index = TagIndex.build(embeddings, sets, labels)
        assert told(index, queries) == exhaustive.predict(embeddings, sets, queries)
        near = index.similarities(queries)
        ties += int(((near >= near.max(1, keepdims=True) - 1e-12).sum(1) > 1).sum())
        cases += len(queries)
    assert ties > 1_000


@given(sets=label_sets)
def test_closed_sets_are_the_intersections_and_their_multiplicities_count_all_combinations(sets: list[int]) -> None:
    meets = set()
    for size in range(1, len(sets) + 1):
        for chosen in subsets(sets, size):
            meet = 2**LABELS - 1
            for mask in chosen:
                meet &= mask
            meets.add(meet)
    closed = closed_sets(sets, 1_000)
    assert set(closed) == meets - {0}
    assert sum(multiplicities(closed)) == len(exhaustive.label_combinations(sets))
    for mask, count in zip(closed, multiplicities(closed), strict=True):
        below = [c for c in exhaustive.label_combinations(sets) if _closure(c, sets) == mask]
        assert count == len(below)


def _closure(combination: int, sets: list[int]) -> int:
    meet = -1
    for mask in sets:
        if mask & combination == combination:
            meet &= mask
    return meet


def test_multiplicities_are_exact_beyond_what_floats_hold() -> None:
    """Two sets of 70 labels that share 30: 2 (2^70 - 1) - (2^30 - 1) combinations, by inclusion and exclusion."""
    one, other = (1 << 70) - 1, ((1 << 70) - 1) << 40
    assert sum(multiplicities(closed_sets([one, other], 10))) == 2 * (2**70 - 1) - (2**30 - 1)


def test_the_order_is_that_of_the_tie_rule() -> None:
    assert closed_sets([0b0110, 0b0011, 0b1000], 10) == (0b0110, 0b0011, 0b0010, 0b1000)
    assert degraded_sets([0b0110, 0b0011]) == (0b0110, 0b0011, 0b0010, 0b0100, 0b0001)


def test_an_adversarial_tag_set_is_refused_or_degrades_in_bounded_memory() -> None:
    everything = 2**40 - 1
    sets = [everything & ~(1 << i) for i in range(40)]
    embeddings = np.eye(40, dtype=np.float32)
    tracemalloc.start()
    with pytest.raises(TooManyClosedSets, match=str(MAX_CLOSED_SETS)):
        TagIndex.build(embeddings, sets, 40)
    index = TagIndex.build(embeddings, sets, 40, degrade=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not index.exact
    assert set(index.sets) == {*sets, *(1 << i for i in range(40))}
    assert peak < 200e6


@given(sets=st.lists(masks, min_size=2, max_size=7), seed=st.integers(0, 99), data=st.data())
def test_any_order_of_adds_and_removes_equals_a_rebuild(sets: list[int], seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((len(sets), 4)).astype(np.float32)
    index = TagIndex.build(rows[:1], sets[:1], LABELS)
    kept = [0]
    for item in range(1, len(sets)):
        index.add(rows[item], sets[item])
        kept.append(item)
        if len(kept) > 1 and data.draw(st.booleans()):
            gone = data.draw(st.integers(0, len(kept) - 1))
            index.remove(gone)
            del kept[gone]
    built = TagIndex.build(rows[kept], [sets[i] for i in kept], LABELS)
    queries = rng.standard_normal((5, 4))
    assert told(index, queries) == told(built, queries)
    assert np.allclose(index.similarities(queries), built.similarities(queries), atol=1e-9)


def test_similarities_are_cosines_to_the_mean_of_all_items_that_carry_the_set() -> None:
    rng = np.random.default_rng(1)
    rows, queries = rng.standard_normal((9, 5)).astype(np.float32), rng.standard_normal((4, 5))
    sets = [int(mask) for mask in rng.integers(1, 2**LABELS, 9)]
    index = TagIndex.build(rows, sets, LABELS)
    for c, mask in enumerate(index.sets):
        mean = rows[[m & mask == mask for m in sets]].astype(np.float64).mean(0)
        wanted = queries @ mean / (np.linalg.norm(queries, axis=1) * np.linalg.norm(mean))
        assert np.allclose(index.similarities(queries)[:, c], wanted, atol=1e-7)
        assert index.member[c].tolist() == [m & mask == mask for m in sets]
    assert np.array_equal(index.member, membership(index.sets, sets))


def test_the_rules_on_a_case_that_can_be_reckoned_by_hand() -> None:
    """Label 0 lies east, label 1 north, and one item carries both; the query looks east-north-east."""
    rows = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    index = TagIndex.build(rows, [0b01, 0b10, 0b11], 2)
    query = np.array([[2.0, 1.0]])
    own = [np.array([2, 1]), np.array([1, 2])]  # sums of the items that carry label 0, and label 1
    cosine = [float(query[0] @ p / np.linalg.norm(query) / np.linalg.norm(p)) for p in (*own, np.array([1, 1]))]
    assert decide(index, query, Decision(rule="lcp")).chosen.tolist() == [[True, False]]
    assert decide(index, query, Decision(rule="ml_pn")).chosen.tolist() == [[True, True]]
    topk = decide(index, query, Decision(rule="topk"))
    assert (topk.k, topk.chosen.tolist()) == (1, [[True, False]])
    assert topk.scores[0].tolist() == pytest.approx(cosine[:2])
    blend = decide(index, query, Decision(rule="blend", k=2))
    assert blend.scores[0].tolist() == pytest.approx([cosine[0], (cosine[1] + cosine[2]) / 2])
    cut = (cosine[0] + cosine[1]) / 2
    assert decide(index, query, Decision(rule="threshold", threshold=cut)).chosen.tolist() == [[True, False]]
    assert decide(index, query, Decision(rule="centred")).chosen.tolist() == [[True, False]]


def test_a_silent_embedding_has_cosine_zero_and_broken_ones_are_refused() -> None:
    index = TagIndex.build(np.array([[1, 0], [0, 1]], np.float32), [1, 2], 2)
    assert index.similarities(np.zeros((1, 2))).tolist() == [[0.0, 0.0]]
    for broken in (np.nan, np.inf):
        with pytest.raises(Invalid, match="finite"):
            index.similarities(np.array([[broken, 0.0]]))
        with pytest.raises(Invalid, match="finite"):
            TagIndex.build(np.array([[broken, 0.0]]), [1], 2)


@given(seed=st.integers(0, 200))
def test_f1_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, said = rng.random((2, 12, 5)) < rng.random((2, 1, 5))
    got = f1(truth, said)
    assert got.macro == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
    assert got.micro == pytest.approx(f1_score(truth, said, average="micro", zero_division=0))
    assert (got.true, got.predicted) == pytest.approx((truth.sum(1).mean(), said.sum(1).mean()))

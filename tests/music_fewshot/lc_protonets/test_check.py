"""Leave-one-out against what it stands for: an index built anew without the item."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid
from contracts.music_fewshot import Decision, Rule
from music_fewshot.lc_protonets.check import leave_one_out
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.rules import Decided, decide

LABELS = 6
RULES = get_args(Rule)


def one_by_one(embeddings: np.ndarray, label_sets: list[int], decision: Decision) -> list[Decided | None]:
    """None where the rule cannot decide without the item."""
    found: list[Decided | None] = []
    for item in range(len(label_sets)):
        left = TagIndex.build(np.delete(embeddings, item, axis=0), label_sets[:item] + label_sets[item + 1 :], LABELS)
        try:
            found.append(decide(left, embeddings[item : item + 1], decision))
        except Invalid:
            found.append(None)
    return found


@st.composite
def supports(draw: st.DrawFn) -> tuple[np.ndarray, list[int]]:
    """Small integers as embeddings and few different label sets: duplicates and exact ties are common."""
    items = draw(st.integers(2, 7))
    label_sets = draw(st.lists(st.integers(1, 2**LABELS - 1), min_size=items, max_size=items))
    numbers = draw(st.lists(st.integers(-2, 2), min_size=3 * items, max_size=3 * items))
    return np.array(numbers, dtype=np.float32).reshape(items, 3), label_sets


@pytest.mark.parametrize("rule", RULES)
@given(support=supports())
def test_it_equals_building_the_index_without_the_item(rule: Rule, support: tuple[np.ndarray, list[int]]) -> None:
    embeddings, label_sets = support
    decision = Decision(rule=rule)
    wanted = one_by_one(embeddings, label_sets, decision)
    index = TagIndex.build(embeddings, label_sets, LABELS)
    if None in wanted:
        with pytest.raises(Invalid):
            leave_one_out(index, decision)
        return
    told = leave_one_out(index, decision)
    assert np.array_equal(told.chosen, np.concatenate([one.chosen for one in wanted if one]))
    assert np.allclose(told.scores, np.concatenate([one.scores for one in wanted if one]), atol=1e-9)


@pytest.mark.parametrize("decision", [Decision(rule="topk", k=2), Decision(rule="blend", k=3)])
@given(support=supports())
def test_a_given_k_is_kept(decision: Decision, support: tuple[np.ndarray, list[int]]) -> None:
    embeddings, label_sets = support
    told = leave_one_out(TagIndex.build(embeddings, label_sets, LABELS), decision)
    wanted = one_by_one(embeddings, label_sets, decision)
    assert told.k == decision.k
    assert np.array_equal(told.chosen, np.concatenate([one.chosen for one in wanted if one]))


@given(support=supports(), threshold=st.floats(-1, 1))
def test_a_given_threshold_is_kept(support: tuple[np.ndarray, list[int]], threshold: float) -> None:
    embeddings, label_sets = support
    decision = Decision(rule="threshold", threshold=threshold)
    told = leave_one_out(TagIndex.build(embeddings, label_sets, LABELS), decision)
    assert told.threshold == threshold
    wanted = one_by_one(embeddings, label_sets, decision)
    assert np.array_equal(told.chosen, np.concatenate([one.chosen for one in wanted if one]))


def test_a_tag_of_one_clip_is_always_missed() -> None:
    embeddings = np.eye(3, dtype=np.float32)
    index = TagIndex.build(embeddings, [0b001, 0b010, 0b110], 3)
    for rule in ("lcp", "ml_pn", "topk", "blend", "centred"):
        told = leave_one_out(index, Decision(rule=rule)).chosen
        assert not told[0, 0]
        assert not told[2, 2]


def test_one_clip_alone_is_refused() -> None:
    index = TagIndex.build(np.ones((1, 2), np.float32), [1], 1)
    with pytest.raises(Invalid, match="one clip alone"):
        leave_one_out(index, Decision(rule="lcp"))


def test_a_degraded_index_forgets_the_set_of_the_item_that_is_left_out() -> None:
    """Ten items that each lack one tag: without an item its own set is no candidate, sets of others are."""
    items, everything = 10, 2**10 - 1
    label_sets = [everything & ~(1 << i) for i in range(items)]
    embeddings = np.random.default_rng(0).standard_normal((items, 8)).astype(np.float32)
    index = TagIndex.build(embeddings, label_sets, items, limit=50, degrade=True)
    assert not index.exact
    told = leave_one_out(index, Decision(rule="lcp")).chosen
    for item in range(items):
        left = TagIndex.build(
            np.delete(embeddings, item, axis=0),
            label_sets[:item] + label_sets[item + 1 :],
            items,
            limit=50,
            degrade=True,
        )
        assert np.array_equal(told[item], decide(left, embeddings[item : item + 1], Decision(rule="lcp")).chosen[0])


def test_a_tie_goes_by_the_first_item_that_is_left() -> None:
    """Label 0 comes first only by the item that is left out; without it label 1 does, and their prototypes are one."""
    embeddings = np.array([[1, 0], [1, 1], [1, 1]], np.float32)
    index = TagIndex.build(embeddings, [0b01, 0b10, 0b01], 2)
    assert leave_one_out(index, Decision(rule="lcp")).chosen[0].tolist() == [False, True]

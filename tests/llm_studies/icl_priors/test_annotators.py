import json
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from common.claims.similarity import similarity
from common.errors import Invalid
from llm_studies.icl_priors.annotators import (
    annotator_row,
    leave_one_out,
    pairwise,
    unanimous,
)
from llm_studies.icl_priors.items import at_least_half

DATA = Path(os.environ.get("KITHARA_DATA", "nowhere"))
needs_annotators = pytest.mark.skipif(
    not (DATA / "annotator_level").is_dir(), reason="set KITHARA_DATA to a folder with annotator_level"
)


def drawn(annotators: int = 4, items: int = 30, labels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((annotators, items, labels)) < 0.4


def test_ties_are_on() -> None:
    votes = np.array([[[1, 1, 0]], [[1, 0, 0]], [[1, 1, 1]], [[1, 0, 0]]], dtype=bool)
    assert at_least_half(votes).tolist() == [[True, True, False]]
    assert at_least_half(votes[:3]).tolist() == [[True, True, False]]
    assert at_least_half(votes[:1]).tolist() == votes[0].tolist()


def test_the_aggregate_by_counting() -> None:
    for annotators in (2, 3, 6):
        labels = drawn(annotators)
        for i, label in np.ndindex(30, 3):
            votes = sum(bool(v) for v in labels[:, i, label])
            assert at_least_half(labels)[i, label] == (votes >= annotators / 2)


def test_others_leave_the_annotator_out() -> None:
    labels = drawn()
    found = leave_one_out(labels)
    for a in range(4):
        assert np.array_equal(found[a], at_least_half(labels[[b for b in range(4) if b != a]]))
        changed = labels.copy()
        changed[a] = ~changed[a]
        assert np.array_equal(leave_one_out(changed)[a], found[a])


def test_an_independent_annotator_is_part_of_the_aggregate_only() -> None:
    """Section 8.2: the official aggregate flatters whoever is in it."""
    labels = drawn(items=2_000)
    aggregate, others = at_least_half(labels), leave_one_out(labels)
    row = annotator_row("a", labels[0], [labels[1]], [labels[2]], aggregate, others[0], measure="micro_f1")
    assert row.others is not None
    assert row.aggregate > row.others + 0.1


def test_a_row_by_hand() -> None:
    truth = np.array([[1, 0], [0, 0]], dtype=bool)
    half, wrong = np.array([[1, 1], [0, 0]], dtype=bool), np.array([[0, 1], [0, 0]], dtype=bool)
    row = annotator_row("Ann1", truth, [wrong, half], [truth, half], half)
    # JS of each item: wrong 0 and 1, half 1/2 and 1.
    assert row.prior == pytest.approx((0.5 + 0.75) / 2)
    assert row.post == pytest.approx((1 + 0.75) / 2)
    assert row.gain == pytest.approx(0.25)
    assert row.gain_percent == pytest.approx(0.25 / 0.625)
    assert (row.name, row.aggregate, row.others) == ("Ann1", pytest.approx(0.75), None)


def test_no_share_of_a_prior_of_zero() -> None:
    truth = np.ones((2, 2), dtype=bool)
    row = annotator_row("a", truth, [~truth], [truth], truth)
    assert (row.prior, row.gain, row.gain_percent) == (0.0, 1.0, None)


def test_tables_by_hand() -> None:
    labels = np.array([[[1, 0], [1, 1]], [[1, 0], [0, 1]]], dtype=bool)
    assert unanimous(labels).tolist() == [True, False]
    assert pairwise(labels) == pytest.approx(np.array([[1, 0.8], [0.8, 1]]))


def test_an_aggregate_needs_annotators() -> None:
    with pytest.raises(Invalid, match="annotator"):
        at_least_half(np.zeros((0, 3, 2), bool))


def test_others_need_another() -> None:
    with pytest.raises(Invalid, match="at least two"):
        leave_one_out(drawn(1))


@needs_annotators
@pytest.mark.parametrize(
    ("name", "js", "same"),
    [
        ("goemotions", {"37": 0.970, "4": 0.467, "61": 0.944}, 15),
        ("mfrc", {"annotator00": 0.867, "annotator01": 0.707, "annotator03": 0.878}, 22),
    ],
)
def test_official_demonstrations(name: str, js: dict[str, float], same: int) -> None:
    """Acceptance check F."""
    lines = (DATA / "annotator_level" / f"{name}_demos.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    names = sorted({label for row in rows for label in row["labels"]})
    chosen = {(row["annotator"], row["item"]): [label in row["labels"] for label in names] for row in rows}
    items = sorted({row["item"] for row in rows})
    by = {who: np.array([chosen[who, item] for item in items]) for who in (*js, "aggregate")}
    assert len(items) == 45
    assert {who: round(similarity(by[who], by["aggregate"]), 3) for who in js} == js
    assert unanimous(np.stack(list(by.values()))).sum() == same


@needs_annotators
def test_hs_brexit_tables() -> None:
    """Acceptance check G: rates, disagreement, pairs, and both aggregates (sections 8.2 and 9.2)."""
    by: dict[str, list[list[bool]]] = {}
    for line in (DATA / "annotator_level" / "hs_brexit.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        by.setdefault(row["annotator"], []).append([row[label] == 1 for label in ("hate", "aggressive", "offensive")])
    labels = np.array([by[f"Ann{i}"] for i in range(1, 7)])
    assert (labels.mean(1) * 100).round(1).T.tolist() == [
        [4.4, 5.3, 6.4, 20.5, 24.4, 16.5],
        [9.7, 7.6, 12.6, 11.5, 16.8, 8.9],
        [12.4, 13.0, 13.6, 33.5, 36.1, 23.4],
    ]
    assert (labels != labels[:1]).any(0).sum(0).tolist() == [343, 352, 528]
    f1 = pairwise(labels).round(2)
    first, second = (np.array([f1[a, b] for a, b in combinations(group, 2)]) for group in ((0, 1, 2), (3, 4, 5)))
    assert (first.min(), first.max()) == (0.44, 0.51)
    assert (second.min(), second.max()) == (0.56, 0.69)
    assert (f1[:3, 3:].min(), f1[:3, 3:].max()) == (0.34, 0.41)
    aggregate, others = at_least_half(labels), leave_one_out(labels)
    assert [round(similarity(a, aggregate), 2) for a in labels] == [0.84, 0.83, 0.81, 0.81, 0.77, 0.84]
    assert [round(similarity(a, b), 2) for a, b in zip(labels, others, strict=True)] == [
        0.82, 0.80, 0.78, 0.73, 0.69, 0.77,
    ]  # fmt: skip
    official, left_out = (similarity(labels[0], side, "micro_f1") for side in (aggregate, others[0]))
    assert (round(official, 2), round(left_out, 2)) == (0.60, 0.51)

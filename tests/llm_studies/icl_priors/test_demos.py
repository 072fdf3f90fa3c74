"""Checks B and C of the specification: what demonstrations keep, what they destroy, and that nothing leaks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.feature_extraction.text import TfidfVectorizer

from common.errors import OperatorError
from llm_studies.icl_priors.data import GOEMOTIONS
from llm_studies.icl_priors.demos import (
    Demo,
    Labelling,
    choose,
    labelled,
    pool,
    random_vector,
    reasons_exchanged,
)
from llm_studies.icl_priors.draws import below, number, share, shuffled
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.items import AGGREGATE, Item, matrix, text_digest
from llm_studies.icl_priors.nearest import Nearest

CORPUS = generate(0, Sizes(200, 40, 60))
TRAIN = CORPUS.split("train")
DRAWS = 10_000


def drawn(labelling: Labelling, label_seed: int, shots: int = 25, seed: int = 0) -> tuple[Demo, ...]:
    return labelled(choose(TRAIN, shots, seed), labelling, AGGREGATE, TRAIN, label_seed)


def test_draws_are_sha256_of_their_names() -> None:
    """Pinned values: no version of Python or numpy may change what a seed shows."""
    assert number("a", 1) == 9484037261928657086
    assert shuffled(range(6), str, 0) == [1, 5, 2, 0, 3, 4]
    assert below(10, "x") == number("x") % 10
    assert 0 <= share("x") < 1
    assert number("a", "b") != number("ab")


@given(st.integers(0, 2**32), st.integers(0, 40), st.integers(0, 40))
def test_a_larger_sample_extends_a_smaller_one(seed: int, few: int, many: int) -> None:
    few, many = sorted((few, many))
    assert choose(TRAIN, many, seed)[:few] == choose(TRAIN, few, seed)


def test_samples_are_uniform() -> None:
    """Each of 20 texts is among 5 equally often over seeds, and at each place equally often."""
    candidates = TRAIN[:20]
    samples = [choose(candidates, 5, seed) for seed in range(2_000)]
    assert chisquare(list(Counter(item.id for one in samples for item in one).values())).pvalue > 1e-3
    assert chisquare(list(Counter(one[0].id for one in samples).values())).pvalue > 1e-3


def test_distribution_keeps_the_joint_label_distribution() -> None:
    """Check B: chi-square over label sets and the mean number of labels, on 10^4 draws."""
    donors = Counter(item.labels[AGGREGATE] for item in TRAIN)
    found = Counter(demo.labels for seed in range(DRAWS // 25) for demo in drawn("distribution", seed))
    assert set(found) <= set(donors)
    often = [labels for labels, n in donors.items() if n >= 2]
    rest = sum(n for labels, n in donors.items() if n < 2)
    seen = [found[labels] for labels in often] + [DRAWS - sum(found[labels] for labels in often)]
    expected = [donors[labels] * DRAWS / len(TRAIN) for labels in often] + [rest * DRAWS / len(TRAIN)]
    assert chisquare(seen, expected).pvalue > 1e-3
    mean = sum(sum(labels) * n for labels, n in found.items()) / DRAWS
    sizes = matrix(TRAIN, AGGREGATE).sum(1)
    assert mean == pytest.approx(sizes.mean(), abs=4 * sizes.std() / DRAWS**0.5)


def test_random_is_uniform_in_size_and_among_subsets_of_a_size() -> None:
    vectors = [random_vector(7, seed, slot) for seed in range(DRAWS // 25) for slot in range(25)]
    sizes = Counter(map(sum, vectors))
    assert chisquare([sizes[n] for n in range(8)]).pvalue > 1e-3
    pairs = Counter(vector for vector in vectors if sum(vector) == 2)
    assert len(pairs) == 21
    assert chisquare(list(pairs.values())).pvalue > 1e-3


@pytest.mark.parametrize("labelling", ["distribution", "random"])
def test_the_mapping_is_destroyed(labelling: Labelling) -> None:
    """Check B: similarity of drawn labels to gold is that of shuffled gold (or of random subsets), within 3 SE."""
    demos = [
        (demo, item)
        for seed in range(400)
        for demo, item in zip(drawn(labelling, seed, seed=seed), choose(TRAIN, 25, seed), strict=True)
    ]
    given_, gold = (np.array(side) for side in ([d.labels for d, _ in demos], [i.labels[AGGREGATE] for _, i in demos]))

    def js(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        either = (a | b).sum(1)
        return np.where(either == 0, 1.0, (a & b).sum(1) / np.maximum(either, 1))

    rng = np.random.default_rng(0)
    chance = np.array([js(given_[rng.permutation(len(given_))], gold).mean() for _ in range(50)])
    assert js(given_, gold).mean() == pytest.approx(chance.mean(), abs=3 * js(given_, gold).std() / len(gold) ** 0.5)


def test_the_label_seed_changes_labels_and_not_texts() -> None:
    first, second = drawn("distribution", 1), drawn("distribution", 2)
    assert [demo.text for demo in first] == [demo.text for demo in second]
    assert [demo.labels for demo in first] != [demo.labels for demo in second]
    assert drawn("distribution", 1) == first


def test_demonstrations_carry_the_labels_of_the_annotator_who_is_asked_for() -> None:
    chosen = choose(TRAIN, 40, 0)
    for annotator in (*CORPUS.annotators, AGGREGATE):
        demos = labelled(chosen, "true", annotator, TRAIN, 0)
        assert [demo.labels for demo in demos] == [item.labels[annotator] for item in chosen]
        assert [demo.rationale for demo in demos] == [item.rationales[annotator] for item in chosen]


def test_own_predictions_are_the_labels_of_prior_prompts() -> None:
    chosen = choose(TRAIN, 5, 0)
    predictions = {item.id: tuple(i == n for i in range(7)) for n, item in enumerate(chosen)}
    demos = labelled(chosen, "preds", AGGREGATE, TRAIN, 0, predictions)
    assert [demo.labels.index(True) for demo in demos] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError):
        labelled(chosen, "preds", AGGREGATE, TRAIN, 0, {})


def test_no_text_of_a_query_is_ever_shown_even_with_other_white_space() -> None:
    query = Item("q", "dev", "the  same\u2028text", {AGGREGATE: (True,)})
    twin = Item("t", "train", "the same text", {AGGREGATE: (True,)})
    other = Item("o", "train", "another text", {AGGREGATE: (False,)})
    assert pool([twin, other, other._replace(id="again")], AGGREGATE, [query]) == (other,)
    assert pool([other], "somebody", [query]) == ()
    assert pool([other], AGGREGATE, [query], rationales=True) == ()


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(OperatorError, match="shots: 9 are asked for, 3 texts can be shown"):
        choose(TRAIN[:3], 9, 0)
    with pytest.raises(OperatorError, match="shots: 9 are asked for"):
        Nearest(TRAIN[:3]).choose("a text", 9)


@pytest.mark.parametrize("n", [2, 3, 15])
def test_exchanged_reasons_are_all_there_and_none_is_at_home(n: int) -> None:
    demos = [Demo(str(i), str(i), (True,), f"reason {i}") for i in range(n)]
    for seed in range(20):
        found = reasons_exchanged(demos, seed)
        assert sorted(d.rationale for d in found) == sorted(d.rationale for d in demos)
        assert all(a.rationale != b.rationale and a.text == b.text for a, b in zip(found, demos, strict=True))


def test_nearest_is_tf_idf_with_cosine_as_in_scikit_learn() -> None:
    queries = CORPUS.split("dev")
    reference = TfidfVectorizer(token_pattern=r"[^\W_]+")
    shown = reference.fit_transform([item.text for item in TRAIN])
    index = Nearest(TRAIN)
    for query in queries:
        expected = (shown @ reference.transform([query.text]).transpose()).toarray()[:, 0]
        np.testing.assert_allclose(index.scores(query.text), expected, atol=1e-12)
        best = index.choose(query.text, 5)
        ranked = [expected[TRAIN.index(item)] for item in best]
        assert ranked == sorted(ranked), "the most similar last"
        assert ranked[0] >= np.sort(expected)[-5] - 1e-12


def test_shuffled_is_a_permutation() -> None:
    assert sorted(shuffled(range(9), str, 4)) == list(range(9))
    assert text_digest(" a \n b") == text_digest("a b")
    assert len(GOEMOTIONS) == 7

"""Properties of the default sampler's episodes, and which tags an evaluation takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import OperatorError
from music_fewshot.lc_protonets.closed import multi_hot
from music_fewshot.lc_protonets.episodes import (
    Draws,
    Episode,
    Pool,
    evaluation_tags,
    ovr_clusters,
    test_episode,
    training_episode,
)

SHOTS = 3
seeds = st.integers(0, 10_000)


def table(seed: int) -> np.ndarray:
    """bool (60, 8): the last two tags have two carriers and one, too few for three shots."""
    rng = np.random.default_rng(seed)
    truth = rng.random((60, 8)) < 0.25
    truth[:, 6:] = False
    truth[rng.choice(60, 2, replace=False), 6] = True
    truth[rng.integers(60), 7] = True
    return truth


def holds_what_the_table_says(episode: Episode, truth: np.ndarray) -> None:
    np.testing.assert_array_equal(episode.support_labels, truth[np.ix_(episode.support, episode.labels)])
    np.testing.assert_array_equal(episode.query_labels, truth[np.ix_(episode.query, episode.labels)])
    np.testing.assert_array_equal(multi_hot(episode.support_sets, len(episode.labels)), episode.support_labels)


@given(seed=seeds)
def test_a_test_episode_has_k_distinct_supports_a_label_or_all_that_there_are(seed: int) -> None:
    truth = table(seed)
    episode = test_episode(Pool(truth, range(8)), shots=SHOTS, draws=Draws(seed))
    assert len(set(episode.support.tolist())) == len(episode.support)
    assert (episode.support_labels.sum(0) >= np.minimum(SHOTS, truth.sum(0))).all()
    usable = set(np.flatnonzero(truth.any(1)).tolist())
    assert episode.query.tolist() == sorted(usable - set(episode.support.tolist()))
    holds_what_the_table_says(episode, truth)


@given(seed=seeds)
def test_a_training_episode_has_k_supports_a_label_and_other_items_as_queries(seed: int) -> None:
    truth = table(seed)
    episode = training_episode(Pool(truth, range(6)), ways=4, shots=SHOTS, queries=2, draws=Draws(seed))
    assert len(set(episode.labels.tolist())) == 4
    drawn = [*episode.support.tolist(), *episode.query.tolist()]
    assert len(set(drawn)) == len(drawn)
    carriers = truth[:, episode.labels].sum(0)
    supports = episode.support_labels.sum(0)
    assert (supports >= np.minimum(SHOTS, carriers)).all()
    assert (episode.query_labels.sum(0) >= np.minimum(2, carriers - supports)).all()
    holds_what_the_table_says(episode, truth)


def test_the_authors_sampler_may_leave_a_label_short_and_the_default_does_not() -> None:
    truth = table(0)[:, :6]
    pool = Pool(truth, range(6))
    assert truth.sum(0).min() >= SHOTS
    fewest = {
        exact: min(
            test_episode(pool, shots=SHOTS, draws=Draws(seed, paper_exact=exact)).support_labels.sum(0).min()
            for seed in range(50)
        )
        for exact in (True, False)
    }
    assert fewest[True] < SHOTS
    assert fewest[False] >= SHOTS


@pytest.mark.parametrize("paper_exact", [False, True])
def test_a_seed_gives_one_episode_and_another_seed_another(paper_exact: bool) -> None:
    pool = Pool(table(0), range(6))

    def support(seed: int) -> list[int]:
        return test_episode(pool, shots=SHOTS, draws=Draws(seed, paper_exact=paper_exact)).support.tolist()

    assert support(1) == support(1)
    assert support(1) != support(2)


@given(items=st.permutations(range(20)), seed=seeds)
def test_a_draw_does_not_depend_on_the_order_of_the_pool(items: list[int], seed: int) -> None:
    told = Draws(seed).sample(items, 5)
    assert told == Draws(seed).sample(range(20), 5)
    assert len(set(told)) == 5


@given(seed=seeds)
def test_a_cluster_sets_one_tag_of_the_query_against_tags_that_it_lacks(seed: int) -> None:
    truth = table(seed)
    clusters = list(ovr_clusters(Pool(truth, range(6)), ways=3, shots=2, draws=Draws(seed)))
    assert clusters
    for cluster in clusters:
        assert np.flatnonzero(truth[cluster.query, cluster.labels]).tolist() == [cluster.target]
        assert cluster.query not in cluster.support
        for label, row in zip(cluster.labels, cluster.support, strict=True):
            assert len(set(row.tolist())) == 2
            assert truth[row, label].all()


@pytest.mark.parametrize(
    ("base", "ways", "choice", "tags"),
    [
        (30, 5, "base", [*range(5)]),
        (30, 15, "novel", [*range(30, 45)]),
        (30, 30, "both", [*range(30)]),
        (30, 45, "both", [*range(45)]),
        (20, 30, "both", [*range(30)]),
        (30, 10, "both", [*range(5), *range(30, 35)]),
        (30, 5, "both", [0, 1, 30, 31, 32]),
    ],
)
def test_the_tags_of_an_evaluation(base, ways, choice, tags) -> None:
    assert list(evaluation_tags(61, base, ways, choice)) == tags


def test_thirty_of_both_are_the_thirty_base_tags_where_there_are_thirty() -> None:
    assert evaluation_tags(61, 30, 30, "both") == evaluation_tags(61, 30, 30, "base")


@pytest.mark.parametrize(("ways", "choice"), [(31, "base"), (32, "novel"), (62, "both"), (0, "both")])
def test_too_few_tags_are_told(ways, choice) -> None:
    with pytest.raises(OperatorError, match="30 base and 31 novel"):
        evaluation_tags(61, 30, ways, choice)


def test_what_cannot_be_an_episode_is_told() -> None:
    truth = np.eye(4, dtype=bool)
    with pytest.raises(OperatorError, match="query"):
        test_episode(Pool(truth, range(4)), shots=1, draws=Draws(0))
    with pytest.raises(OperatorError, match="there are 4"):
        training_episode(Pool(truth, range(4)), ways=5, shots=1, queries=1, draws=Draws(0))
    with pytest.raises(OperatorError, match="fewer shots"):
        test_episode(Pool(truth, range(4)), shots=2, draws=Draws(0, paper_exact=True))
    with pytest.raises(OperatorError, match="tag 2"):
        Pool(truth[:2], range(3))

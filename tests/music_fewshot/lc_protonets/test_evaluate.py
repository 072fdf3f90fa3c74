"""Figures against scikit-learn and the exhaustive rule; and what is asked."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score

from common.errors import OperatorError
from common.training.run import open_run
from music_fewshot.lc_protonets.config import Config
from music_fewshot.lc_protonets.embedding import embed_split
from music_fewshot.lc_protonets.episodes import Draws, Pool, test_episode
from music_fewshot.lc_protonets.evaluate import Figures, Trained
from music_fewshot.lc_protonets.exhaustive import label_combinations, prototypes, similarity_table
from music_fewshot.lc_protonets.protocol import (
    RULES,
    Tags,
    Task,
    TaskFigures,
    episode_figures,
    nearest_items,
    tasks,
    usable_tags,
)


@pytest.fixture(scope="module")
def figures(trained: Path) -> Figures:
    return msgspec.json.decode((trained / "metrics.json").read_bytes(), type=Figures)


def task_of(figures: Figures, choice: str, ways: int) -> TaskFigures:
    return next(task for task in figures.tasks if (task.choice, task.ways) == (choice, ways))


def sklearn_f1(truth: np.ndarray, told: np.ndarray, average: str) -> float:
    return float(f1_score(truth, told, average=average, zero_division=0.0))  # pyright: ignore[reportArgumentType]


def test_every_task_is_asked_with_every_rule(figures: Figures, config: Config) -> None:
    asked = [(task.choice, task.ways) for task in figures.tasks]
    assert asked == [("base", 5), ("base", 10), ("novel", 5), ("novel", 6), ("both", 5), ("both", 12), ("both", 16)]
    for task in figures.tasks:
        assert [rule.rule for rule in task.rules] == [*RULES, "all_ones"]
        assert all(len(rule.macro_f1) == len(config.evaluation.seeds) for rule in task.rules)
        assert task.exact


def test_the_paper_s_rules_are_those_of_loops_over_combinations(figures: Figures, opened: Trained) -> None:
    test = opened.corpus.splits["test"]
    z = embed_split(opened.model, test)
    columns = np.arange(10, 16)
    found = task_of(figures, "novel", 6)
    told = {rule.rule: rule for rule in found.rules}
    for place, seed in enumerate((3, 21)):
        episode = test_episode(Pool(test.truth, columns.tolist()), shots=3, draws=Draws(seed))
        assert not set(episode.support) & set(episode.query)
        combos = label_combinations(episode.support_sets)
        table = similarity_table(z[episode.query], prototypes(z[episode.support], episode.support_sets, combos))
        sizes = np.array([c.bit_count() for c in combos])
        best = [combos[np.lexsort((-sizes, -row.round(9)))[0]] for row in table]
        truth = test.truth[np.ix_(episode.query, columns)]
        lcp = np.array([[c >> label & 1 for label in range(6)] for c in best])
        singles = table[:, [combos.index(1 << label) for label in range(6)]]
        for rule, chosen in (("lcp", lcp), ("ml_pn", singles > 0), ("all_ones", np.ones_like(truth))):
            assert told[rule].macro_f1[place] == pytest.approx(sklearn_f1(truth, chosen, "macro"), abs=1e-9)
            assert told[rule].micro_f1[place] == pytest.approx(sklearn_f1(truth, chosen, "micro"), abs=1e-9)
            assert told[rule].predicted[place] == pytest.approx(chosen.sum(1).mean())
        assert found.true[place] == pytest.approx(truth.sum(1).mean())
        assert found.combinations[place] == str(len(combos))
        assert (found.support[place], found.queries[place]) == (len(episode.support), len(episode.query))


def test_the_manifest_holds_means_and_t_intervals(trained: Path, figures: Figures) -> None:
    manifest = open_run(trained, "lc_protonets").manifest
    found = {(metric.name, metric.split): metric for metric in manifest.metrics}
    rule = next(rule for rule in task_of(figures, "both", 16).rules if rule.rule == "blend")
    metric = found["blend_macro_f1", "both-16"]
    assert metric.value == pytest.approx(np.mean(rule.macro_f1))
    low, high = stats.t.interval(0.95, 1, np.mean(rule.macro_f1), stats.sem(rule.macro_f1))
    assert metric.interval is not None
    assert (metric.interval.low, metric.interval.high) == pytest.approx((low, high))
    assert metric.n == min(task_of(figures, "both", 16).queries)
    assert {"lcp_predicted", "true"} <= {name for name, split in found if split == "both-16"}
    assert manifest.properties["trained"] == "last"
    assert manifest.properties["tags_too_rare_to_test"] == 0


def test_tags_too_rare_for_a_query_are_left_out() -> None:
    truth = np.zeros((9, 5), bool)
    for tag, carriers in enumerate((5, 3, 4, 0, 9)):
        truth[:carriers, tag] = True
    tags = usable_tags(truth, base=3, shots=3)
    assert (tags.columns.tolist(), tags.base) == ([0, 2, 4], 2)
    with pytest.raises(OperatorError, match=r"no tag has more than 9 items"):
        usable_tags(truth, base=3, shots=9)


@pytest.mark.parametrize(
    ("base", "total", "expected"),
    [
        (26, 44, [("base", 5), ("base", 15), ("base", 26), ("novel", 5), ("novel", 15), ("novel", 18)]),
        (4, 4, [("base", 4)]),
        (0, 3, [("novel", 3)]),
    ],
)
def test_tasks_are_those_that_there_are_tags_for(base: int, total: int, expected: list[tuple[str, int]]) -> None:
    found = tasks(Tags(np.arange(total), base), (5, 15, 30, 60))
    assert [(task.choice, task.ways) for task in found if task.choice != "both"] == expected
    assert max(task.ways for task in found if task.choice == "both") == total


def test_an_episode_with_too_many_closed_sets_is_scored_as_inexact(monkeypatch: pytest.MonkeyPatch) -> None:
    """18 items that each lack another one of 18 tags: 2^18 - 2 intersections."""
    truth = np.concatenate([~np.eye(18, dtype=bool), np.eye(18, dtype=bool)[:4]])
    z = np.random.default_rng(0).standard_normal((22, 4)).astype(np.float32)
    found = episode_figures(z, truth, Tags(np.arange(18), 18), Task("base", 18), shots=17, seed=0)
    assert not found.exact
    assert found.support >= 18
    assert set(found.rules) == {*RULES, "all_ones", "nearest"}


def test_the_nearest_item_is_that_of_the_largest_cosine() -> None:
    rng = np.random.default_rng(4)
    support, queries = rng.standard_normal((9, 5)) * rng.uniform(0.1, 9, (9, 1)), rng.standard_normal((400, 5))
    support[7] = 4 * support[2]  # the same cosines to the bit: the first counts
    support[8] = 0  # a cosine of 0 to everything
    cosines = np.hstack([1 - cdist(queries, support[:8], "cosine"), np.zeros((400, 1))])
    cosines[:, 7] = cosines[:, 2]
    found = nearest_items(support, queries)
    np.testing.assert_array_equal(found, cosines.argmax(1))
    assert set(found.tolist()) >= {*range(7)}

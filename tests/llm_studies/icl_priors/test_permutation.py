import json
import os
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from common.claims.similarity import between, similarity
from common.claims.statistics import holm
from common.errors import Invalid
from llm_studies.icl_priors.items import at_least_half
from llm_studies.icl_priors.permutation import (
    HEURISTIC,
    Panel,
    _two_sided,
    artefact,
    critical_r,
    gain_percent,
    group_gap,
    orders,
    pearson,
    relations,
    shuffled_measures,
    unrelated,
)

DATA = Path(os.environ.get("KITHARA_DATA", "nowhere"))
POST, GAIN, OLDHAM, AGAIN = (
    "post against prior",
    "gain % against prior (descriptive)",
    "gain against mean of both (Oldham)",
    "gain % against prior of other seeds",
)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def one(prior: np.ndarray, post: np.ndarray, again: np.ndarray | None = None, **settings) -> dict:
    return {found.form: found for found in relations({"panel": Panel(prior, post, again)}, **settings)}


def test_pearson_and_its_critical_value_are_scipys() -> None:
    x, y = rng().normal(size=(2, 50, 7))
    expected = [scipy.stats.pearsonr(a, b) for a, b in zip(x, y, strict=True)]
    assert pearson(x, y) == pytest.approx([e.statistic for e in expected])
    flagged = np.abs(pearson(x, y)) >= critical_r(7)
    assert flagged.tolist() == [e.pvalue <= HEURISTIC for e in expected]
    assert pearson(np.ones(4), np.arange(4.0)) == 0


@pytest.mark.parametrize(
    ("annotators", "r", "share"), [(4, -0.71, 0.48), (7, -0.74, 0.81), (9, -0.76, 0.92), (20, -0.77, 0.998)]
)
def test_the_papers_recipe_finds_relations_where_there_are_none(annotators: int, r: float, share: float) -> None:
    """The table of section 8.1, within the simulation error of both sides."""
    found = artefact(annotators, studies=10_000)
    assert found.mean_r == pytest.approx(r, abs=0.02)
    assert found.flagged == pytest.approx(share, abs=0.025)


def test_a_constant_gain_looks_like_a_relation_too() -> None:
    """Section 8.1, last line: r of -0.51 to -0.59 when everybody gains 0.10."""
    true = rng(2).normal(0.45, 0.08, size=(20_000, 9))
    prior, post = true + rng(3).normal(0, 0.03, size=true.shape), true + 0.1 + rng(4).normal(0, 0.03, size=true.shape)
    assert -0.59 <= pearson(prior, gain_percent(prior, post)).mean() <= -0.48


def test_exact_p_by_enumeration() -> None:
    prior, post = rng(5).uniform(0.3, 0.6, size=(2, 5))
    again = prior + rng(6).normal(0, 0.02, size=5)
    found = one(prior, post, again)
    reads = {
        POST: lambda b: (prior, b),
        GAIN: lambda b: (prior, (b - prior) / prior),
        OLDHAM: lambda b: ((prior + b) / 2, b - prior),
        AGAIN: lambda b: (again, (b - prior) / prior),
    }
    for form, read in reads.items():
        r = scipy.stats.pearsonr(*read(post)).statistic
        null = np.array([scipy.stats.pearsonr(*read(np.array(p))).statistic for p in permutations(post)])
        assert found[form].r == pytest.approx(r)
        assert found[form].null_r == pytest.approx(null.mean())
        tail = min((null <= r + 1e-12).mean(), (null >= r - 1e-12).mean())
        assert found[form].p_value == pytest.approx(min(1, 2 * tail))


def test_drawn_orders_agree_with_scipy() -> None:
    prior, post = rng(7).uniform(0.3, 0.6, size=(2, 12))
    post = post + 0.5 * prior
    found = one(prior, post, rounds=20_000)[POST]
    theirs = scipy.stats.permutation_test(
        (post,),
        lambda b: scipy.stats.pearsonr(prior, b).statistic,
        permutation_type="pairings",
        n_resamples=3_000,
        rng=rng(8),
    )
    assert found.p_value == pytest.approx(theirs.pvalue, abs=0.02)


def test_orders_are_all_of_them_or_permutations() -> None:
    few, exact = orders(4, 10, rng())
    assert exact
    assert len({tuple(order) for order in few}) == 24
    many, exact = orders(9, 500, rng())
    assert not exact
    assert (np.sort(many, axis=1) == np.arange(9)).all()
    assert len({tuple(order) for order in many}) > 490


def test_false_positives() -> None:
    """Acceptance check H: over 400 studies without relation, ours at most 5 %, the recipe above 45 %."""
    prior, post = unrelated(7, 400, rng(9))
    again = prior + rng(10).normal(0, 0.03, size=prior.shape)
    ours = [
        min(found.p_holm for found in relations({"panel": Panel(a, b, c)})) <= 0.05
        for a, b, c in zip(prior, post, again, strict=True)
    ]
    recipe = np.abs(pearson(prior, gain_percent(prior, post))) >= critical_r(7)
    assert np.mean(ours) <= 0.05
    assert recipe.mean() > 0.45


def test_the_null_of_the_descriptive_form_is_far_from_zero() -> None:
    prior, post = unrelated(7, 1, rng(11))
    found = one(prior[0], post[0])[GAIN]
    assert found.null_r < -0.5


def test_a_true_relation_is_found() -> None:
    found = 0
    for seed in range(20):
        prior = rng(seed).normal(0.45, 0.08, size=9)
        post = 0.2 + 0.8 * prior + rng(seed + 100).normal(0, 0.02, size=9)
        found += one(prior, post, rounds=2_000)[POST].p_holm <= 0.05
    assert found == 20


def test_holm_is_over_all_panels() -> None:
    priors, posts = rng(12).uniform(0.3, 0.6, size=(2, 3, 6))
    found = relations({str(i): Panel(a, b) for i, (a, b) in enumerate(zip(priors, posts, strict=True))})
    assert len(found) == 9
    assert [f.p_holm for f in found] == pytest.approx(holm([f.p_value for f in found]))


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        (Panel(np.ones(2), np.ones(2)), "at least three"),
        (Panel(np.ones(4), np.ones(3)), "one number for each"),
        (Panel(np.ones(4), np.ones(4), np.ones(3)), "one number for each"),
        (Panel(np.array([0.0, 0.2, 0.3]), np.ones(3)), "similarity is 0"),
    ],
)
def test_unusable_panels_are_refused(panel: Panel, message: str) -> None:
    with pytest.raises(Invalid, match=f"that one: .*{message}"):
        relations({"that one": panel})


def groups(seed: int, items: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two perspectives of equal rates, three noisy annotators of each: left, right, and the two perspectives."""
    draw = rng(seed)
    common = draw.random((items, 3)) < 0.25
    views = common ^ (draw.random((2, items, 3)) < 0.12)
    people = views[:, None] ^ (draw.random((2, 3, items, 3)) < 0.06)
    return people[0], people[1], views[0], views[1]


def test_a_prior_of_one_group_is_detected() -> None:
    """Acceptance check H, power: the prior is the right group's view, with noise."""
    for seed in range(20):
        left, right, _, view = groups(seed)
        priors = [view ^ (rng(1_000 + 10 * seed + run).random(view.shape) < 0.08) for run in range(3)]
        found = group_gap(priors, left, right, rounds=2_000, seed=seed)
        assert all(gap.right > gap.left for gap in found)
        assert min(gap.p_holm for gap in found) <= 0.05


def test_a_neutral_prior_is_not() -> None:
    """Acceptance check H, size: each cell of the prior copies one of the two views, by a coin."""
    flagged = 0
    for seed in range(400):
        left, right, one_view, other = groups(seed, items=60)
        prior = np.where(rng(5_000 + seed).random(other.shape) < 0.5, one_view, other)
        flagged += min(gap.p_holm for gap in group_gap([prior], left, right, rounds=400, seed=seed)) <= 0.05
    assert flagged <= 20


def test_a_prior_that_knows_neither_group_is_not_detected_where_rates_differ() -> None:
    """One group says twice as much; swapping alone would flag more than half of the studies."""
    flagged = 0
    for seed in range(400):
        draw = rng(seed)
        left, right = draw.random((3, 60, 3)) < 0.12, draw.random((3, 60, 3)) < 0.3
        prior = draw.random((60, 3)) < 0.2
        flagged += min(gap.p_holm for gap in group_gap([prior], left, right, rounds=200, seed=seed)) <= 0.05
    assert flagged <= 20


def test_five_percent_of_a_null_study_s_possible_ranks_are_below_five_percent() -> None:
    """The size of the test is exact: the seen value is as likely to have one rank among the drawn ones as another,
    and of 201 ranks ten have p <= 0.05, never more. Ties count against it."""
    drawn = np.arange(200.0)
    p = [_two_sided(drawn, rank - 0.5) for rank in range(201)]
    assert sum(one <= 0.05 for one in p) == 10
    assert _two_sided(drawn, -0.5) == 2 / 201
    assert _two_sided(np.zeros(200), 0.0) == 1.0
    assert _two_sided(np.repeat([0.0, 1.0], [5, 195]), 0.0) == 2 * 6 / 201


def test_shuffled_similarities_by_brute_force() -> None:
    draw = rng(13)
    priors, labels = draw.random((2, 25, 3)) < 0.3, draw.random((3, 25, 3)) < 0.3
    order = np.stack([draw.permutation(25) for _ in range(4)])
    for row, found in zip(order, shuffled_measures(priors, labels, order), strict=True):
        pairs = [(prior[row], label) for prior in priors for label in labels]
        micro = 2 * sum((a & b).sum() for a, b in pairs) / sum(a.sum() + b.sum() for a, b in pairs)
        assert found == pytest.approx((np.mean([similarity(a, b) for a, b in pairs]), micro), rel=1e-5)


def test_the_gap_by_hand() -> None:
    left, right, view, _ = groups(3)
    js, micro = group_gap([view], left, right, rounds=100)
    assert js.left == pytest.approx(np.mean([similarity(view, labels) for labels in left]))
    hits = sum((view & labels).sum() for labels in right)
    assert micro.right == pytest.approx(2 * hits / sum(view.sum() + labels.sum() for labels in right))
    back = group_gap([view], right, left, rounds=100)
    assert (back[0].left, back[0].right) == (js.right, js.left)
    assert min(js.p_value, back[0].p_value) <= 0.05


@pytest.mark.skipif(not (DATA / "annotator_level").is_dir(), reason="set KITHARA_DATA to a folder with annotator_level")
def test_minority_scenario_on_hs_brexit() -> None:
    """Acceptance check H: the prior is the control group's labelling with noise, each annotator left out of its own."""
    by: dict[str, list[list[bool]]] = {}
    for line in (DATA / "annotator_level" / "hs_brexit.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        by.setdefault(row["annotator"], []).append([row[label] == 1 for label in ("hate", "aggressive", "offensive")])
    labels = np.array([by[f"Ann{i}"] for i in range(1, 7)])[:, :100]
    aggregate = at_least_half(labels[3:])
    priors = [aggregate ^ (rng(run).random(aggregate.shape) < 0.05) for run in range(3)]
    near = [between(priors, [annotator], "micro_f1").mean for annotator in labels]
    assert min(near[3:]) > max(near[:3])
    gaps = {gap.measure: gap for gap in group_gap(priors, labels[:3], labels[3:], rounds=2_000)}
    assert gaps["micro_f1"].right > gaps["micro_f1"].left
    assert gaps["micro_f1"].p_holm <= 0.05

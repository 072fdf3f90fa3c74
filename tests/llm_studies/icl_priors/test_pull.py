from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.errors import Invalid
from llm_studies.icl_priors import latent
from llm_studies.icl_priors.predictive import PAIRS, similarities
from llm_studies.icl_priors.pull import estimate, item_counts, kappa_naive, kappa_slope
from llm_studies.icl_priors.recovery import Scenario, Study, recovery, simulate

# Specification, section 8.3: kappa and eps1 true, then kappa_naive and kappa_slope as tabled.
TABLED = (
    (0.00, 0.10, 0.03, 0.00),
    (0.25, 0.10, 0.23, 0.20),
    (0.50, 0.10, 0.43, 0.41),
    (0.75, 0.10, 0.64, 0.61),
    (1.00, 0.10, 0.85, 0.81),
    (0.50, 0.25, 0.34, 0.29),
    (1.00, 0.25, 0.66, 0.59),
)


def study(**changes) -> Study:
    return simulate(Scenario(**changes), np.random.default_rng(5))


def table(drawn: Study) -> np.ndarray:
    return item_counts(*drawn).sum((0, 1))[None].astype(np.float64)


def test_recovery_of_pull_and_noise() -> None:
    """Acceptance check A: kappa within 0.05 and eps1 within 0.03 over the grid, means of 20 runs."""
    rows = recovery(repetitions=20, seed=1)
    assert {(r.kappa_true, r.eps1_true) for r in rows} == set(product((0, 0.25, 0.5, 0.75, 1), (0, 0.1, 0.25)))
    for row in rows:
        assert row.kappa == pytest.approx(row.kappa_true, abs=0.05), row
        assert row.eps1 == pytest.approx(row.eps1_true, abs=0.03), row
        assert row.eps0 == pytest.approx(Scenario().false_alarm, abs=0.03), row
        assert row.kappa_sd < 0.04


def test_naive_estimates_are_biased_as_tabled() -> None:
    rows = {(r.kappa_true, r.eps1_true): r for r in recovery(misses=(0.1, 0.25), repetitions=40, seed=2)}
    for kappa, miss, naive, slope in TABLED:
        row = rows[kappa, miss]
        assert (row.kappa_naive, row.kappa_slope) == (pytest.approx(naive, abs=0.06), pytest.approx(slope, abs=0.07))
    assert rows[1.0, 0.25].kappa_naive < rows[1.0, 0.1].kappa_naive - 0.1  # noise alone lowers it
    assert rows[1.0, 0.25].kappa - rows[1.0, 0.25].kappa_naive > 0.25


def joint_kappa(counts: np.ndarray, steps: int = 500) -> float:
    """Textbook latent-class EM on one table (2, R + 1, S + 1), posteriors and priors alike informing the class."""
    runs, posts = counts.shape[1] - 1, counts.shape[2] - 1
    k, j = np.arange(runs + 1)[:, None], np.arange(posts + 1)
    rate, on, follow = np.array([0.3, 0.6]), np.array([0.1, 0.8]), np.array([[0.1, 0.3], [0.7, 0.9]])
    for _ in range(steps):
        p, f = on[:, None, None, None], follow.T[:, :, None, None]
        like = (
            p**k * (1 - p) ** (runs - k) * f**j * (1 - f) ** (posts - j) * np.stack([1 - rate, rate])[..., None, None]
        )
        share = counts * like / np.maximum(like.sum(0), 1e-300)  # (z, t, k, j)
        rate = share[1].sum((1, 2)) / counts.sum((1, 2))
        on = (share * k).sum((1, 2, 3)) / (runs * share.sum((1, 2, 3)))
        follow = ((share * j).sum((2, 3)) / (posts * share.sum((2, 3)))).T
    weight = counts.sum((1, 2)) * rate * (1 - rate)
    return float((weight * (follow[:, 1] - follow[:, 0])).sum() / weight.sum())


def test_runs_that_copy_on_the_same_cells_do_not_move_kappa() -> None:
    """The reason for two steps: they are as good as a joint fit on its own model, and hold where it does not."""
    scenario = Scenario(kappa=0.5, miss=0.25)
    draws = [
        table(simulate(scenario._replace(shared=s), np.random.default_rng(n))) for s in (False, True) for n in range(20)
    ]
    ours = latent.fit(np.concatenate(draws)).kappa.reshape(2, 20)
    joint = np.array([joint_kappa(draw[0]) for draw in draws]).reshape(2, 20)
    assert ours.mean(1) == pytest.approx([0.5, 0.5], abs=0.05)
    assert joint[0].mean() == pytest.approx(0.5, abs=0.05)
    assert ours[0].std() < 1.25 * joint[0].std()
    assert joint[1].mean() > 0.9


def test_naive_and_slope_by_brute_force() -> None:
    drawn = study(items=40, labels=3)
    pairs = list(product(drawn.priors, drawn.posteriors))
    differs = np.array([prior != drawn.truth for prior, _ in pairs])
    copied = np.array([prior == post for prior, post in pairs])
    assert kappa_naive(table(drawn))[0] == pytest.approx(copied[differs].mean())
    x, y = (np.array([pair[side].ravel() for pair in pairs]).ravel().astype(float) for side in (0, 1))
    stratum = np.tile(drawn.truth.ravel(), len(pairs))
    design = np.column_stack([x, stratum, ~stratum]).astype(float)
    assert kappa_slope(table(drawn))[0] == pytest.approx(np.linalg.lstsq(design, y, rcond=None)[0][0])


def exact_counts(rate: tuple[float, float], miss: float, alarm: float, follow: np.ndarray, runs: int) -> np.ndarray:
    """Expected table of a million cells: every cell pattern by the model's equation, no binomials, no sampling."""
    counts = np.zeros((1, 2, runs + 1, 2))
    for t, z in product((0, 1), (0, 1)):
        for bits in product((0, 1), repeat=runs):
            on = [(1 - miss) if z else alarm] * runs
            chance = np.prod([p if bit else 1 - p for bit, p in zip(bits, on, strict=True)])
            chance *= rate[t] if z else 1 - rate[t]
            for post in (0, 1):
                counts[0, t, sum(bits), post] += 5e5 * chance * (follow[t][z] if post else 1 - follow[t][z])
    return counts


@settings(max_examples=25, deadline=None)
@given(
    rate=st.tuples(st.floats(0.1, 0.6), st.floats(0.3, 0.9)),
    miss=st.floats(0.0, 0.3),
    alarm=st.floats(0.0, 0.2),
    follow=arrays(np.float64, (2, 2), elements=st.floats(0.0, 1.0)),
    runs=st.integers(3, 5),
)
def test_the_model_is_identified(
    rate: tuple[float, float], miss: float, alarm: float, follow: np.ndarray, runs: int
) -> None:
    """On expected counts, without sampling error, every parameter comes back, borders included."""
    found = latent.fit(exact_counts(rate, miss, alarm, follow, runs), tolerance=1e-8)
    assert found.noise.rate[0] == pytest.approx(rate, abs=2e-3)
    assert (found.noise.miss[0], found.noise.false_alarm[0]) == pytest.approx((miss, alarm), abs=2e-3)
    assert found.follow[0] == pytest.approx(follow, abs=5e-3)
    weight = np.array([p * (1 - p) for p in rate])
    expected = (weight * (follow[:, 1] - follow[:, 0])).sum() / weight.sum()
    assert found.kappa[0] == pytest.approx(expected, abs=5e-3)


def test_labels_never_switch() -> None:
    """A start on the wrong side ends where the right one does."""
    drawn = table(study(miss=0.1))
    right, wrong = latent.fit(drawn, [(0.1, 0.1)]), latent.fit(drawn, [(0.9, 0.9)])
    assert wrong.noise.miss == pytest.approx(right.noise.miss, abs=1e-5)
    assert wrong.kappa == pytest.approx(right.kappa, abs=1e-5)


def test_the_fit_is_the_most_likely_one() -> None:
    drawn = table(study(miss=0.2)).sum(3)
    best = latent.fit_noise(drawn)
    rng = np.random.default_rng(6)
    k = np.arange(4)
    for _ in range(200):
        r0, r1, e1, e0 = np.clip(
            np.array([*best.rate[0], best.miss[0], best.false_alarm[0]]) + rng.normal(0, 0.05, 4), 1e-6, 1 - 1e-6
        )
        chance = [
            r * (1 - e1) ** k * e1 ** (3 - k) * [1, 3, 3, 1] + (1 - r) * e0**k * (1 - e0) ** (3 - k) * [1, 3, 3, 1]
            for r in (r0, r1)
        ]
        assert (drawn[0] * np.log(chance)).sum() <= best.log_likelihood[0] + 1e-9


def test_a_batch_is_its_tables() -> None:
    tables = np.concatenate([table(study(kappa=k, miss=m)) for k, m in ((0.2, 0.0), (0.9, 0.25), (0.5, 0.1))])
    together, alone = latent.fit(tables), [latent.fit(t[None]) for t in tables]
    assert together.kappa == pytest.approx(np.concatenate([fit.kappa for fit in alone]), abs=1e-12)
    assert together.iterations.tolist() == [int(fit.iterations[0]) for fit in alone]


def test_estimate_is_the_same_in_any_order_of_runs_items_and_labels() -> None:
    drawn = study(items=60)
    first = estimate(*drawn, rounds=0)
    rng = np.random.default_rng(7)
    items, labels = rng.permutation(60), rng.permutation(7)
    truth, priors, posteriors = drawn
    second = estimate(
        truth[items][:, labels],
        priors[::-1][:, items][:, :, labels],
        posteriors[::-1][:, items][:, :, labels],
        rounds=0,
    )
    assert second.overall.kappa == pytest.approx(first.overall.kappa, abs=1e-9)
    assert [e.kappa for e in second.labels] == pytest.approx([first.labels[i].kappa for i in labels], abs=1e-9)


def test_intervals_cover_the_truth_and_labels_are_named() -> None:
    names = ("a", "b", "c", "d", "e", "f", "g")
    hits = 0
    for seed in range(20):
        drawn = simulate(Scenario(), np.random.default_rng(100 + seed))
        found = estimate(*drawn, names=names, rounds=200, seed=seed)
        bounds = found.overall.kappa_interval
        assert bounds is not None
        hits += bounds.low <= 0.5 <= bounds.high
    assert hits >= 16  # 95 % of 20 less three standard errors
    assert tuple(e.label for e in found.labels) == names
    assert sum(e.cells for e in found.labels) == found.overall.cells == 700
    label = found.labels[0]
    assert label.kappa_interval is not None
    assert label.kappa_interval.high - label.kappa_interval.low > bounds.high - bounds.low
    assert found.overall.reliability > 0.8


def test_a_noise_free_pull_of_one_is_exact() -> None:
    found = estimate(*study(kappa=1.0, miss=0.0, false_alarm=0.0), rounds=50).overall
    assert (found.kappa, found.eps1, found.eps0) == pytest.approx((1.0, 0.0, 0.0), abs=1e-9)
    assert found.kappa_naive == found.kappa_slope == pytest.approx(1.0)


def test_a_label_without_prior_leaves_its_kappa_open() -> None:
    truth, priors, posteriors = (np.array(part) for part in study())
    priors[:, :, 2] = False
    label = estimate(truth, priors, posteriors, rounds=20).labels[2]
    assert (label.kappa, label.kappa_interval, label.kappa_slope, label.eps1) == (None, None, None, None)
    truth[:, 3] = False
    label = estimate(truth, priors, posteriors, rounds=20).labels[3]
    assert label.prior_rate[1] is None
    assert label.kappa is not None


def test_the_fitted_model_passes_its_own_check_and_dependent_runs_do_not() -> None:
    fitting = {c.pair: c for c in estimate(*study(), rounds=0).fit}
    assert tuple(fitting) == PAIRS
    assert all(c.range.low < c.observed < c.range.high for c in fitting.values())
    dependent = {c.pair: c for c in estimate(*study(shared=True), rounds=0).fit}
    assert dependent["posterior, posterior"].observed == 1.0 > dependent["posterior, posterior"].range.high
    assert dependent["posterior, posterior"].p_value < 0.01
    alone = estimate(*study(posterior_runs=1), rounds=0).fit
    assert "posterior, posterior" not in {c.pair for c in alone}


def test_check_similarities_by_brute_force() -> None:
    drawn = study(items=30, labels=2, posterior_runs=2)

    def f1(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return 2 * sum((a & b).sum() for a, b in pairs) / sum(a.sum() + b.sum() for a, b in pairs)

    p, q, t = drawn.priors, drawn.posteriors, drawn.truth
    expected = [
        f1([(p[0], p[1]), (p[0], p[2]), (p[1], p[2])]),
        f1(list(product(p, q))),
        f1([(q[0], q[1])]),
        f1([(a, t) for a in p]),
        f1([(a, t) for a in q]),
    ]
    assert similarities(table(drawn))[0] == pytest.approx(expected)


def faulty(**changes) -> Study:
    return study(items=10)._replace(**changes)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (study(items=10, prior_runs=2), "at least 3"),
        (study(items=10, posterior_runs=0), "at least 1"),
        (faulty(truth=np.zeros(7, bool)), "items, labels"),
        (faulty(truth=np.zeros((0, 7), bool)), "at least one of each"),
        (faulty(priors=np.zeros((3, 9, 7), bool)), r"prior runs are .* not \(3, 9, 7\)"),
        (faulty(posteriors=np.zeros((10, 7), bool)), "posterior runs"),
        (faulty(truth=np.zeros((10, 7), int)), "bool"),
        (faulty(truth=np.zeros((10, 7), bool)), "same value"),
        (faulty(truth=np.ones((10, 7), bool)), "same value"),
        (faulty(priors=np.zeros((3, 10, 7), bool)), "nothing shows whether it is copied"),
        (faulty(priors=np.ones((3, 10, 7), bool)), "nothing shows whether it is copied"),
        (faulty(priors=np.tile(study(items=10).truth, (3, 1, 1))), "prior and truth differ"),
    ],
)
def test_what_cannot_be_estimated_is_refused(drawn: Study, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        estimate(*drawn, rounds=0)


def test_names_must_fit() -> None:
    with pytest.raises(Invalid, match="2 label names for 7 labels"):
        estimate(*study(items=10), names=("a", "b"), rounds=0)

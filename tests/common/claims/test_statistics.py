import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from common.claims.statistics import (
    bootstrap_interval,
    holm,
    interval,
    sign_flip_p,
    student_cdf,
    student_interval,
    student_quantile,
    wilson_interval,
)

SHARES = (0.005, 0.1, 0.5, 0.9, 0.975, 0.9995)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 9, 30, 31])
def test_student_is_scipys(freedom: int) -> None:
    for t in (-40.0, -2.5, -0.1, 0.0, 0.7, 3.0, 60.0):
        assert student_cdf(t, freedom) == pytest.approx(scipy.stats.t.cdf(t, freedom), abs=1e-13)
    for share in SHARES:
        assert student_quantile(share, freedom) == pytest.approx(scipy.stats.t.ppf(share, freedom), rel=1e-9, abs=1e-9)


def test_student_interval_is_scipys() -> None:
    differences = np.array([0.3, 1.9, -0.4, 2.2, 0.8])
    ours = student_interval(differences, level=0.9)
    low, high = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.9)
    assert (ours.low, ours.high, ours.level) == pytest.approx((low, high, 0.9))


@pytest.mark.parametrize("skew", [np.exp, np.sin, lambda x: x])
def test_bca_is_scipys_up_to_resampling(skew) -> None:
    differences = skew(np.random.default_rng(3).standard_normal(25))
    ours = bootstrap_interval(differences, rng(), rounds=40_000)
    theirs = scipy.stats.bootstrap(
        (differences,), np.mean, n_resamples=40_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.02 * width)


def test_bootstrap_of_equal_differences_has_no_width() -> None:
    found = bootstrap_interval(np.full(12, 0.25), rng())
    assert (found.low, found.high) == (0.25, 0.25)


@pytest.mark.parametrize("n", [4, 14])
def test_intervals_cover_as_often_as_they_say(n: int) -> None:
    """The reason for the rule: nominal 95 % on normal differences, counted over 600 experiments."""
    draws = np.random.default_rng(11).normal(1.0, 2.0, size=(600, n))
    hits = 0
    for row in draws:
        found = interval(row, rng(), rounds=1_000)
        hits += found.low <= 1.0 <= found.high
    assert 0.90 <= hits / len(draws) <= 0.985


def test_interval_changes_method_at_ten_pairs() -> None:
    values = np.random.default_rng(5).exponential(size=10)
    nine, ten = interval(values[:9], rng()), interval(values, rng())
    assert nine == student_interval(values[:9])
    assert ten == bootstrap_interval(values, rng())
    assert ten != student_interval(values)


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2.0]]])
def test_an_interval_needs_two_pairs(values: list) -> None:
    with pytest.raises(ValueError, match="two pairs"):
        interval(np.array(values), rng())


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=7))
def test_sign_flip_equals_enumeration(values: list[int]) -> None:
    signs = list(itertools.product((-1, 1), repeat=len(values)))
    observed = abs(sum(values))
    extreme = sum(abs(sum(s * v for s, v in zip(pattern, values, strict=True))) >= observed for pattern in signs)
    assert sign_flip_p(np.array(values), rng()) == pytest.approx(extreme / len(signs))


def test_sign_flip_equals_scipys_permutation_test() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 9)) + np.array([[0.8], [0.0]])
    theirs = scipy.stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(a - b, rng()) == pytest.approx(theirs.pvalue)


def test_sign_flip_by_sampling_is_near_and_never_zero() -> None:
    values = np.random.default_rng(4).normal(0.4, 1.0, size=20)
    bits = (np.arange(2**20)[:, None] >> np.arange(20)) & 1
    exact = np.mean(np.abs((1 - 2 * bits) @ values) >= abs(values.sum()) * (1 - 1e-12))
    assert sign_flip_p(values, rng(), rounds=40_000) == pytest.approx(exact, abs=0.01)
    assert sign_flip_p(np.full(40, 1.0), rng(), rounds=100) == pytest.approx(1 / 101)


def test_sign_flip_counts_equal_sums_in_any_order_of_addition() -> None:
    assert sign_flip_p(np.array([0.1, 0.2, 0.3]), rng()) == 2 / 8


def test_sign_flip_refuses_nothing() -> None:
    with pytest.raises(ValueError, match="no differences"):
        sign_flip_p(np.array([]), rng())


def test_holm_by_hand() -> None:
    # Holm 1979: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, made monotone.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for raw, found in zip(p_values, adjusted, strict=True):
        assert raw <= found <= min(1.0, len(p_values) * raw) + 1e-12
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(case: tuple[int, int]) -> None:
    successes, n = case
    ours = wilson_interval(successes, n)
    theirs = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert 0 <= ours.low <= successes / n <= ours.high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson_interval(successes, n)

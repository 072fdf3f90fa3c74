"""Check H: paired statistics against independent implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from llm_studies.bloomwise.statistics import mcnemar, noise, paired


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test_of_the_discordant_items(b: int, c: int) -> None:
    expected = binomtest(b, b + c, 0.5).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-12)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_the_bootstrap_is_that_of_resampled_items() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.random(300) < 0.7, rng.random(300) < 0.6
    found = paired(one, other, np.random.default_rng(2), 20_000)
    differences = one.astype(float) - other
    drawn = differences[np.random.default_rng(3).integers(300, size=(20_000, 300))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # A step of the difference is 1/300; both quantiles are estimates from 20,000 draws.
    assert found.interval.low == pytest.approx(low, abs=2 / 300)
    assert found.interval.high == pytest.approx(high, abs=2 / 300)
    assert found.difference == pytest.approx(differences.mean())
    assert (found.only_one, found.only_other) == (int((one & ~other).sum()), int((~one & other).sum()))
    assert found.p == pytest.approx(binomtest(found.only_one, found.only_one + found.only_other).pvalue)


def test_equal_methods_differ_by_nothing() -> None:
    solved = np.array([True, False, True])
    found = paired(solved, solved, np.random.default_rng(0), 100)
    assert (found.difference, found.p, found.interval.low, found.interval.high) == (0, 1, 0, 0)


@pytest.mark.parametrize(("one", "other"), [([], []), ([True], [True, False])])
def test_lists_that_do_not_belong_together_are_refused(one: list, other: list) -> None:
    with pytest.raises(ValueError, match="paired"):
        paired(np.array(one, bool), np.array(other, bool), np.random.default_rng(0), 100)


def test_the_items_of_gsm8k_show_two_points_seven() -> None:
    assert round(100 * noise(1319), 1) == 2.7

"""The cut against a plain reading of its rule, and the paired bootstrap against scipy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from vision_nlp.acn.cut import choose_cut, paired_bootstrap

RIGHT = arrays(np.bool_, st.tuples(st.integers(2, 6), st.integers(1, 40)))


def table(*counts: int, n: int = 1000) -> np.ndarray:
    """Sub-networks that are right on the first ``counts`` of ``n`` rows."""
    return np.arange(n) < np.array(counts)[:, None]


@pytest.mark.parametrize(
    ("tolerance", "depth"), [(0.0, 4), (0.1, 4), (0.4, 4), (0.5, 3), (1.0, 3), (1.5, 2), (89.9, 2), (90.0, 1)]
)
def test_the_smallest_depth_within_the_tolerance(tolerance: float, depth: int) -> None:
    cut = choose_cut(table(0, 0, 885, 895, 900), tolerance)
    assert (cut.depth, cut.tolerance) == (depth, tolerance)


def test_the_bare_embedding_is_never_the_cut() -> None:
    assert choose_cut(table(1000, 10, 1000), 0.5).depth == 2


def test_a_sub_network_better_than_the_whole_is_taken() -> None:
    cut = choose_cut(table(0, 100, 910, 905, 900), 0.0)
    assert cut.depth == 2
    assert 0 < cut.difference.low < 0.01 < cut.difference.high


@settings(deadline=None)
@given(right=RIGHT, tolerances=st.lists(st.floats(0, 100), min_size=2, max_size=2))
def test_it_is_monotone_in_the_tolerance_and_keeps_its_rule(right: np.ndarray, tolerances: list[float]) -> None:
    strict, loose = (choose_cut(right, t) for t in sorted(tolerances))
    assert 1 <= loose.depth <= strict.depth < len(right)
    share = right.mean(1)
    assert share[loose.depth] >= share[-1] - loose.tolerance / 100 - 1e-9
    assert all(share[k] < share[-1] - loose.tolerance / 100 + 1e-9 for k in range(1, loose.depth))


@pytest.mark.parametrize("shape", [(1, 5), (3, 0), (4,)])
def test_without_a_block_or_a_row_there_is_no_cut(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one block and one row"):
        choose_cut(np.zeros(shape, bool), 0.5)


def test_the_bootstrap_is_scipys() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.random(400) < 0.8, rng.random(400) < 0.85
    ours = paired_bootstrap(one, other, 3)
    theirs = stats.bootstrap(
        (one.astype(float), other.astype(float)),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=9999,
        rng=rng,
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.006)
    assert ours.low < one.mean() - other.mean() < ours.high


def test_equal_networks_differ_by_nothing() -> None:
    same = np.array([True, False, True])
    interval = paired_bootstrap(same, same, 0)
    assert (interval.low, interval.high) == (0.0, 0.0)

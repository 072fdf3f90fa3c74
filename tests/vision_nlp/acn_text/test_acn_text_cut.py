"""The cut against its definition, with scikit-learn's micro-F1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from vision_nlp.acn_text.cut import choose_depth

N = 40


def labellings(seed: int, noise: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """A truth, and one labelling for each share of wrong cells."""
    rng = np.random.default_rng(seed)
    truth = rng.random((N, 4)) < 0.4
    return np.stack([truth ^ (rng.random(truth.shape) < share) for share in noise]), truth


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 99),
    st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.3]), min_size=2, max_size=6),
    st.floats(0, 20),
    st.floats(0, 20),
)
def test_it_is_the_smallest_depth_within_the_tolerance(seed: int, noise: list[float], one: float, two: float) -> None:
    said, truth = labellings(seed, noise)
    cut = choose_depth(said, truth, one)
    f1 = [f1_score(truth, labels, average="micro") for labels in said]
    assert f1[cut.depth] >= f1[-1] - one / 100 - 1e-9
    assert all(f1[k] < f1[-1] - one / 100 for k in range(1, cut.depth))
    assert (choose_depth(said, truth, two).depth - cut.depth) * (two - one) <= 0


def test_the_interval_holds_the_difference_and_is_paired() -> None:
    said, truth = labellings(0, [0.5, 0.5, 0.05])
    said[1] = said[2]
    same = choose_depth(said, truth, 0.0)
    assert same.depth == 1
    assert (same.difference.low, same.difference.high) == (0.0, 0.0)
    said[1, :4] ^= True
    cut = choose_depth(said, truth, 50.0)
    micro = [float(f1_score(truth, labels, average="micro")) for labels in (said[1], said[2])]
    assert cut.depth == 1
    assert cut.difference.low < micro[0] - micro[1] < cut.difference.high < 0.0


def test_a_network_without_blocks_cannot_be_cut() -> None:
    said, truth = labellings(0, [0.1])
    with pytest.raises(ValueError, match="needs one block at least, got 0"):
        choose_depth(said, truth, 0.5)

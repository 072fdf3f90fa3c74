"""Early exit against a loop over rows, and the entropy against scipy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from vision_nlp.acn.early import GRID, Leaving, choose_exit, entropies, leave, try_exits


def drawn(seed: int, depths: int = 5, n: int = 60, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits (depths, n, classes) of very different certainty, and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(scale=rng.choice([0.1, 1, 6], (depths, n, 1)), size=(depths, n, classes)), rng.integers(4, size=n)


def row(entropy: float, accuracy: float, mean_depth: float) -> Leaving:
    return Leaving(entropy=entropy, accuracy=accuracy, mean_depth=mean_depth)


def test_entropy_is_scipys_and_never_overflows() -> None:
    logits, _ = drawn(0)
    np.testing.assert_allclose(entropies(logits), stats.entropy(special.softmax(logits, -1), axis=-1), atol=1e-12)
    huge = np.array([[1000.0, 0.0], [0.0, 0.0], [-1e5, 1e5]], np.float32)
    np.testing.assert_allclose(entropies(huge), [0, np.log(2), 0], atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), threshold=st.sampled_from((0.0, 0.05, 0.3, 1.0, 1.4, 9.0)))
def test_every_row_leaves_at_its_first_certain_exit(seed: int, threshold: float) -> None:
    logits, labels = drawn(seed)
    depths = (1, 2, 4)
    right, blocks = 0, 0
    for i, label in enumerate(labels):
        for depth in depths:
            p = special.softmax(logits[depth, i])
            if stats.entropy(p) < threshold or depth == 4:
                right, blocks = right + (p.argmax() == label), blocks + depth
                break
    (tried,) = try_exits(logits, labels, depths, (threshold,))
    assert tried.entropy == threshold
    assert (tried.accuracy, tried.mean_depth) == pytest.approx((right / len(labels), blocks / len(labels)))


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_looser_the_earlier_between_both_ends(seed: int) -> None:
    logits, labels = drawn(seed)
    tried = try_exits(logits, labels, (2, 3, 4))
    depths = [leaving.mean_depth for leaving in tried]
    assert depths == sorted(depths, reverse=True)
    assert tried[0] == row(0.0, float((logits[4].argmax(1) == labels).mean()), 4.0)
    assert try_exits(logits, labels, (2, 3, 4), (99.0,))[0].mean_depth == 2.0
    full = tried[0].accuracy
    for tolerance in (0, 0.5, 5, 100):
        chosen = choose_exit(tried, full, tolerance)
        allowed = [leaving for leaving in tried if leaving.accuracy >= full - tolerance / 100 - 1e-9]
        assert chosen.mean_depth == min(leaving.mean_depth for leaving in allowed)
        assert chosen in allowed


def test_equal_cost_takes_the_stricter_entropy() -> None:
    tried = [row(0.0, 0.9, 8.0), row(0.2, 0.9, 3.0), row(0.1, 0.9, 3.0), row(0.5, 0.8, 1.0)]
    assert choose_exit(tried, 0.9, 0.5).entropy == 0.1
    with pytest.raises(ValueError, match="empty"):
        choose_exit(tried, 0.99, 0.5)


def test_an_entropy_equal_to_the_threshold_goes_on() -> None:
    assert leave(np.array([[0.5, 0.4], [0.0, 0.0]]), 0.5).tolist() == [1, 0]


def test_the_grid_rises_from_nobody_to_nearly_ten_equal_probabilities() -> None:
    assert GRID[0] == 0.0
    assert list(GRID) == sorted(set(GRID))
    assert GRID[-1] < np.log(10)

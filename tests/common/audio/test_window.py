"""Windows cover a clip from its start, whatever its length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.audio import windows


@given(st.integers(1, 400), st.integers(1, 100))
def test_windows_are_the_clip_read_round_and_round(length: int, window: int) -> None:
    samples = np.arange(length, dtype=np.float32)
    got = windows(samples, window)
    assert got.dtype == np.float32
    assert got.shape == (max(1, length // window), window)
    assert got.ravel().tolist() == [i % length for i in range(got.size)]


@pytest.mark.parametrize(("length", "rows"), [(1, 1), (9, 1), (10, 1), (19, 1), (20, 2), (25, 2)])
def test_only_a_short_clip_is_filled_up(length: int, rows: int) -> None:
    assert windows(np.ones(length, np.float32), 10).shape == (rows, 10)

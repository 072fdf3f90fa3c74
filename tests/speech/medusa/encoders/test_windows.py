"""Windows of long recordings, against the whole recording."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speech.medusa.encoders.windows import HOP, Windowing

FIELD = 400
"""Samples of the first frame, as in the published encoders."""


def local(samples: np.ndarray, reach: int) -> np.ndarray:
    """An encoder that sees ``reach`` frames to each side: (frames, 1)."""
    frames = 1 + (len(samples) - FIELD) // HOP
    heard = np.array([samples[i * HOP : i * HOP + FIELD].sum() for i in range(frames)])
    padded = np.pad(heard, reach)
    return np.stack([padded[i : i + frames] * (i + 1) for i in range(2 * reach + 1)]).sum(0)[:, None]


@given(
    window=st.integers(8, 40),
    overlap=st.integers(0, 6),
    frames=st.integers(1, 150),
    rest=st.integers(0, HOP - 1),
    reach=st.integers(0, 2),
)
def test_joined_windows_are_the_whole_where_no_frame_sees_their_edges(
    window: int, overlap: int, frames: int, rest: int, reach: int
) -> None:
    """Each window gives up half of each overlap: an encoder that sees no farther gives the same numbers."""
    windows = Windowing(window, overlap)
    samples = np.random.default_rng(frames).integers(-9, 9, FIELD + HOP * (frames - 1) + rest).astype(np.float64)
    spans = windows.spans(len(samples))
    # The first frame reaches beyond its hop, so that a window has one frame less than hops.
    assume(len(spans) == 1 or reach + 1 <= overlap // 2)
    parts = [local(samples[start:stop], reach) for start, stop in spans]
    assert np.array_equal(windows.joined(parts), local(samples, reach))


@given(window=st.integers(2, 600), overlap=st.integers(0, 100), samples=st.integers(1, 600_000))
def test_spans_cover_the_recording_and_none_is_too_long(window: int, overlap: int, samples: int) -> None:
    overlap = min(overlap, window - 1)
    spans = Windowing(window, overlap).spans(samples)
    assert spans[0][0] == 0
    assert spans[-1][1] == samples
    assert all(stop - start <= window * HOP for start, stop in spans)
    for (_, stop), (start, end) in pairwise(spans):
        assert stop - start == overlap * HOP
        assert end > stop


def test_ten_seconds_and_one() -> None:
    """Specification, section 5: windows of 10 s with 1 s overlap; section 4, defect 7: never 0.19 s."""
    windows = Windowing(500, 50)
    assert windows.spans(160_000) == [(0, 160_000)]
    assert windows.spans(160_001) == [(0, 160_000), (144_000, 160_001)]
    assert windows.spans(320_000) == [(0, 160_000), (144_000, 304_000), (288_000, 320_000)]
    parts = [np.full((n, 1), i) for i, n in enumerate((499, 499, 99))]
    assert np.bincount(windows.joined(parts)[:, 0]).tolist() == [475, 450, 74]


def test_one_window_loses_nothing() -> None:
    part = np.arange(30.0)[:, None]
    assert np.array_equal(Windowing(40, 8).joined([part]), part)
    with pytest.raises(ValueError, match="concatenate"):
        Windowing(40, 8).joined([])

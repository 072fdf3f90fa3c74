"""Resampling does not depend on how the samples come."""

import numpy as np
import soxr
from hypothesis import given
from hypothesis import strategies as st

from common.audio.resample import resampled

WAVE = np.random.default_rng(0).standard_normal(9_000).astype(np.float32)


@given(st.lists(st.integers(0, 9_000), max_size=12), st.sampled_from([8_000, 44_100, 48_000]))
def test_any_cut_into_blocks_gives_the_same_bits(cuts: list[int], rate: int) -> None:
    blocks = np.split(WAVE, sorted(cuts))
    got = np.concatenate(list(resampled(blocks, rate, 16_000)))
    np.testing.assert_array_equal(got, soxr.resample(WAVE, rate, 16_000, quality="HQ"))


def test_at_the_wanted_rate_the_blocks_pass_untouched() -> None:
    blocks = np.split(WAVE, 3)
    assert all(a is b for a, b in zip(resampled(blocks, 16_000, 16_000), blocks, strict=True))

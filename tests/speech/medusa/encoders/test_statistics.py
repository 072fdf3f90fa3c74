"""Windowed statistics, against numpy over each window."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.medusa.encoders.statistics import FUNCTIONALS, SMALL, Statistics
from speech.medusa.model import Padded
from speech.medusa.rows import padded

NAMES = ("loudness", "voicing", "pitch")
WINDOW, HOP = 12, 4
LENGTHS = (1, 2, 5, 12, 37)


def clip(frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(1_000 * seed + frames)
    rows = rng.normal(2, 3, (frames, 3)).astype(np.float32)
    rows[:, 1] = rng.uniform(0, 1, frames)
    return rows


def oracle(rows: np.ndarray, window: int | None) -> np.ndarray:
    """Float64, window by window, from the definitions: (windows, 42)."""
    rows = rows.astype(np.float64)
    change = np.diff(rows, axis=0, prepend=rows[:1])
    if window is None:
        spans = [slice(0, len(rows))]
    else:
        left = (window - HOP) // 2
        spans = [slice(max(0, k - left), k - left + window) for k in range(0, len(rows), HOP)]
    both = np.concatenate([rows, change], 1)
    return np.stack([moments(both[s], rows[s, 1]) for s in spans])


def moments(x: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    seconds = np.arange(len(x)) / 100
    slope = np.polyfit(seconds, x, 1)[0] if len(x) > 1 else np.zeros(6)
    # The plain moments with the weight of one frame
    together = np.concatenate([voiced, np.full(len(x), 1 / len(x))])
    mean = np.average(np.concatenate([x, x]), axis=0, weights=together)
    variance = np.average((np.concatenate([x, x]) - mean) ** 2, axis=0, weights=together)
    spread = np.sqrt(x.var(0) + SMALL), np.sqrt(variance + SMALL)
    return np.concatenate([x.mean(0), spread[0], x.min(0), x.max(0), slope, mean, spread[1]])


@pytest.mark.parametrize("window", [WINDOW, None])
@pytest.mark.parametrize("frames", LENGTHS)
def test_every_number_is_that_of_its_window(window: int | None, frames: int) -> None:
    found = Statistics(NAMES, window, HOP)(padded([torch.from_numpy(clip(frames))]))
    wanted = oracle(clip(frames), window)
    assert found.mask.all()
    assert found.x[0].shape == (1 if window is None else -(-frames // HOP), 2 * len(FUNCTIONALS) * 3)
    assert found.x[0].numpy() == pytest.approx(wanted, rel=2e-3, abs=2e-3)


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 60), min_size=2, max_size=5), window=st.sampled_from([WINDOW, 5, None]))
def test_a_row_alone_is_the_row_in_a_batch_whatever_lies_in_the_padding(lengths: list[int], window: int | None) -> None:
    statistics = Statistics(NAMES, window, HOP)
    clips = [torch.from_numpy(clip(n, seed)) for seed, n in enumerate(lengths)]
    statistics.fit([c.numpy() for c in clips])
    together = padded(clips)
    spoilt = Padded(together.x.masked_fill(~together.mask[..., None], float("nan")), together.mask)
    found = statistics(spoilt)
    for number, one in enumerate(clips):
        alone = statistics(padded([one]))
        kept = found.mask[number]
        assert int(kept.sum()) == alone.x.shape[1]
        assert torch.allclose(found.x[number][kept], alone.x[0], atol=1e-4)
        assert not found.x[number][~kept].any()


@pytest.mark.parametrize("window", [WINDOW, None])
def test_results_of_the_fitted_rows_have_mean_0_and_deviation_1(window: int | None) -> None:
    clips = [clip(n, seed) * 50 for seed, n in enumerate((30, 44, 60, 80, 100))]
    statistics = Statistics(NAMES, window, HOP)
    statistics.fit(clips)
    found = torch.cat([statistics(padded([torch.from_numpy(c)])).x[0] for c in clips])
    assert found.mean(0) == pytest.approx(torch.zeros(42), abs=1e-3)
    assert found.std(0, correction=0) == pytest.approx(torch.ones(42), abs=1e-3)


def test_a_constant_feature_gives_zeros_and_no_infinity() -> None:
    clips = [clip(n) for n in (20, 30)]
    for rows in clips:
        rows[:, 0] = -7.0
    statistics = Statistics(NAMES, WINDOW, HOP)
    statistics.fit(clips)
    found = statistics(padded([torch.from_numpy(clips[0])])).x
    assert torch.isfinite(found).all()
    assert found[..., 0::6].abs().max() < 1e-3


def test_names_stand_for_the_numbers() -> None:
    statistics = Statistics(NAMES, WINDOW, HOP)
    rows = clip(40)
    found = dict(zip(statistics.columns, statistics(padded([torch.from_numpy(rows)])).x[0].T.tolist(), strict=True))
    assert len(statistics.columns) == statistics.dim
    assert found["pitch_max"][5] == pytest.approx(rows[16:28, 2].max())
    assert found["loudness_difference_min"][5] == pytest.approx(np.diff(rows[15:28, 0]).min(), rel=1e-5)


def test_there_is_nothing_to_learn_and_the_constants_are_saved() -> None:
    statistics = Statistics(NAMES, WINDOW, HOP)
    assert not list(statistics.parameters())
    statistics.fit([clip(30)])
    other = Statistics(NAMES, WINDOW, HOP)
    other.load_state_dict(statistics.state_dict())
    given = padded([torch.from_numpy(clip(9))])
    assert torch.equal(other(given).x, statistics(given).x)


def test_faults_of_whoever_calls() -> None:
    with pytest.raises(ValueError, match="shorter than its hop"):
        Statistics(NAMES, 3, 4)
    with pytest.raises(ValueError, match="no row"):
        Statistics(NAMES).fit([])

"""What a stream passes before DeepSER: by value, blind to the rest of the batch, the identity outside training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.medusa.config import Augment, Stem, Stream
from speech.medusa.model import Padded
from speech.medusa.rows import padded
from speech.medusa.stems import Augmented, Front, Standardise, stretch

STEMS = [Stem(channels=(6, 8), kernel=3), Stem(kind="picture", channels=(3, 4), kernel=5)]


def clips(*lengths: int, dim: int = 10) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(lengths))
    return [torch.randn(n, dim, generator=generator) for n in lengths]


@pytest.mark.parametrize("stem", STEMS)
@given(st.lists(st.integers(1, 25), min_size=2, max_size=4))
@settings(max_examples=15, deadline=None)
def test_a_clip_comes_out_as_it_does_alone(stem: Stem, lengths: list[int]) -> None:
    """Section 10.1."""
    torch.manual_seed(0)
    front, given_clips = Front(Stream(stem=stem), 10).eval(), clips(*lengths)
    together = front(padded(given_clips))
    for n, clip in enumerate(given_clips):
        alone = front(padded([clip]))
        assert int(together.mask[n].sum()) == alone.x.shape[1] == -(-len(clip) // 4)
        torch.testing.assert_close(together.x[n][together.mask[n]], alone.x[0], atol=1e-5, rtol=0)
        assert alone.x.shape[2] == front.dim


@pytest.mark.parametrize("stem", STEMS)
def test_what_the_padding_holds_does_not_matter(stem: Stem) -> None:
    torch.manual_seed(0)
    front, (clip,) = Front(Stream(stem=stem), 10).eval(), clips(9)
    x = torch.full((1, 14, 10), 1e3)
    x[0, :9] = clip
    found = front(Padded(x, torch.arange(14)[None] < 9))
    torch.testing.assert_close(found.x[found.mask], front(padded([clip])).x[0], atol=1e-5, rtol=0)


def test_standardised_as_numpy_does_it() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.normal(size=(300, 4)) * [1, 50, 1e-3, 0] + [0, 1e4, 5, 7]).astype(np.float32)
    scale = Standardise(4)
    scale.fit_clips(torch.from_numpy(part) for part in np.split(frames, [10, 11, 200]))
    expected = frames.astype(np.float64).std(0)
    np.testing.assert_allclose(scale.mean, frames.astype(np.float64).mean(0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scale.deviation[:3], expected[:3], rtol=1e-3)
    assert scale.deviation[3] == 1
    whole = Standardise(4)
    whole.fit(torch.from_numpy(frames))
    torch.testing.assert_close(whole.deviation, scale.deviation, rtol=1e-4, atol=0)


def test_augmentation_belongs_to_training() -> None:
    augment = Augmented(Augment(noise=1.0, gain=1.0, time_masks=2, band_masks=2, dropout=0.5))
    given_clips = padded(clips(7, 9))
    assert torch.equal(augment.eval()(given_clips).x, given_clips.x)
    assert not torch.equal(augment.train()(given_clips).x, given_clips.x)
    assert torch.equal(Augmented(Augment()).train()(given_clips).x, given_clips.x)


def test_masks_are_one_stretch_of_the_promised_size() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([10, 40, 100] * 50)
    found = stretch(lengths, 0.3, 100)
    sizes = found.sum(1)
    assert bool((sizes <= 0.3 * lengths + 1).all())
    assert sizes.float().mean() > 3
    starts = (found[:, 1:] & ~found[:, :-1]).sum(1) + found[:, 0]
    assert int(starts.max()) == 1
    assert not bool((found & (torch.arange(100) >= lengths[:, None])).any())


def test_features_are_lost_for_a_whole_clip_and_about_as_often_as_said() -> None:
    torch.manual_seed(0)
    lost = Augmented(Augment(dropout=0.3)).train()(padded([torch.ones(5, 200)] * 20)).x == 0
    assert torch.equal(lost.all(1), lost.any(1))
    assert 0.25 < lost.float().mean() < 0.35


def test_gain_moves_all_features_of_a_clip_alike_and_noise_none() -> None:
    torch.manual_seed(0)
    x = Augmented(Augment(gain=1.0)).train()(padded([torch.zeros(5, 8)] * 50)).x
    torch.testing.assert_close(x, x[:, :1, :1].expand_as(x))
    assert 0.7 < x[:, 0, 0].std() < 1.3
    noise = Augmented(Augment(noise=0.5)).train()(padded([torch.zeros(50, 80)])).x
    assert 0.45 < noise.std() < 0.55

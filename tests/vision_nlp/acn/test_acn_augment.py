"""Random changes of pictures, against numpy's padding and slicing and against what a change may not do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_nlp.acn.augment import Batch, augment, cutmix, flip, plain, shift
from vision_nlp.acn.config import Augment, Data

SHAPE = (3, 4, 6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    """(n, height, width, channels), all values distinct."""
    channels, height, width = SHAPE
    return torch.randperm(n * channels * height * width, generator=generator(seed)).float().view(n, height, width, -1)


def test_a_shifted_picture_is_a_crop_of_the_padded_one_and_every_crop_comes() -> None:
    x = pictures(200)
    moved = shift(x, 1, -7.0, generator())
    seen = set()
    for before, after in zip(x.numpy(), moved.numpy(), strict=True):
        padded = np.pad(before, ((1, 1), (1, 1), (0, 0)), constant_values=-7)
        crops = {(i, j): padded[i : i + 4, j : j + 6] for i in range(3) for j in range(3)}
        (place,) = [place for place, crop in crops.items() if np.array_equal(crop, after)]
        seen.add(place)
    assert len(seen) == 9


def test_what_comes_in_is_the_normalised_ground() -> None:
    data = Data(mean=0.25, std=0.5, augment=Augment(shift=3))
    ground = torch.full((5, 72), -0.5)
    assert torch.equal(augment(Batch(ground, torch.eye(5)), SHAPE, data, generator()).x, ground)


def test_a_flipped_picture_is_mirrored_left_to_right_about_every_other_time() -> None:
    x = pictures(400)
    changed = flip(x, generator()).numpy()
    mirrored = [np.array_equal(after, before[:, ::-1]) for before, after in zip(x.numpy(), changed, strict=True)]
    same = [np.array_equal(after, before) for before, after in zip(x.numpy(), changed, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 150 < sum(mirrored) < 250


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_cutmix_gives_every_picture_one_rectangle_of_another_and_its_share_of_the_label(seed: int) -> None:
    n, (_, height, width) = 5, SHAPE
    x = torch.arange(n).float()[:, None, None, None].expand(n, height, width, 3)
    mixed, target = cutmix(x, torch.eye(n), generator(seed))
    torch.testing.assert_close(target.sum(1), torch.ones(n))
    for i, (picture, shares) in enumerate(zip(mixed.numpy(), target.numpy(), strict=True)):
        foreign = picture[..., 0] != i
        assert (picture == picture[..., :1]).all()
        assert len({*picture[foreign].ravel().tolist()}) <= 1
        if foreign.any():
            rows, columns = np.nonzero(foreign)
            assert foreign.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        counts = np.bincount(picture[..., 0].astype(int).ravel(), minlength=n)
        np.testing.assert_allclose(shares, counts / (height * width), atol=1e-6)


def test_cutmix_comes_in_its_share_of_the_batches() -> None:
    drawing, data = generator(), Data(augment=Augment(cutmix=0.5))
    batch = plain(pictures(8).reshape(8, -1), torch.arange(8), 8)
    changed = sum(not torch.equal(augment(batch, SHAPE, data, drawing).x, batch.x) for _ in range(200))
    assert 60 < changed < 110  # some rectangles are empty


def test_nothing_asked_for_changes_nothing_and_draws_nothing() -> None:
    batch, drawing = plain(pictures(4).reshape(4, -1), torch.tensor([0, 2, 1, 2]), 3), generator()
    before = drawing.get_state()
    after = augment(batch, SHAPE, Data(), drawing)
    assert torch.equal(after.x, batch.x)
    assert after.target.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]]
    assert torch.equal(drawing.get_state(), before)


@pytest.mark.parametrize("wanted", [Augment(shift=2), Augment(flip=True), Augment(cutmix=1.0)])
def test_the_generator_decides_everything_and_the_pictures_given_stay(wanted: Augment) -> None:
    batch, data = plain(pictures(16).reshape(16, -1), torch.arange(16), 16), Data(augment=wanted)
    before, state = batch.x.clone(), torch.get_rng_state()
    one, two, other = (augment(batch, SHAPE, data, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.target, two.target)
    assert not torch.equal(one.x, other.x)
    assert torch.equal(batch.x, before)
    assert torch.equal(torch.get_rng_state(), state)

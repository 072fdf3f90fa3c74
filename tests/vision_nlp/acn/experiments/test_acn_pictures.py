"""Which rows an arm sees: by value, against loops."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.data.images import load_images
from vision_nlp.acn.experiments.pictures import PUBLISHED, draw, few, of_classes, subset
from vision_nlp.pictures import Rows

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=40).map(torch.tensor)


def numbered(labels: torch.Tensor) -> Rows:
    """Each row's pixel is its number."""
    return Rows(torch.arange(len(labels), dtype=torch.float32)[:, None], labels)


@given(LABELS, st.permutations(range(5)), st.integers(1, 5))
def test_classes_are_chosen_and_renamed_in_the_order_given(labels: torch.Tensor, order: list[int], many: int) -> None:
    wanted = order[:many]
    rows = of_classes(numbered(labels), wanted)
    expected = [(i, wanted.index(y)) for i, y in enumerate(labels.tolist()) if y in wanted]
    assert list(zip(rows.x[:, 0].int().tolist(), rows.y.tolist(), strict=True)) == expected


@given(LABELS, st.integers(1, 4))
def test_few_keeps_the_first_of_every_class(labels: torch.Tensor, each: int) -> None:
    seen, expected = dict.fromkeys(range(5), 0), []
    for i, y in enumerate(labels.tolist()):
        seen[y] += 1
        if seen[y] <= each:
            expected.append(i)
    assert few(numbered(labels), each).x[:, 0].int().tolist() == expected


def test_a_seed_draws_disjoint_splits_of_all_digits() -> None:
    images = load_images("digits", None)
    first, again, other = (draw(images, seed, 10_000) for seed in (1, 1, 2))
    parts = [part.x.numpy() for part in first[:3]]
    assert [len(part) for part in parts] == [1006, 252, 539]
    # Some digits occur twice in the set: all rows together are the whole set, whatever the seed.
    whole, others = (np.sort(np.concatenate([p.x.numpy() for p in s[:3]]), axis=0) for s in (first, other))
    np.testing.assert_array_equal(whole, others)
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)
    assert len(draw(images, 1, 50).train.y) == 50
    assert whole.min() == -1.0
    assert whole.max() == 1.0


def test_the_published_test_split_is_never_trained_on(tmp_path: Path) -> None:
    (tmp_path / "usps").mkdir()
    for part, n in (("train", 1200), ("test", 30)):
        images = np.full((n, 16, 16), 0 if part == "train" else 255, dtype=np.uint8)
        np.savez(tmp_path / "usps" / f"{part}.npz", images=images, labels=np.arange(n) % 10)
    splits = draw(load_images("usps", tmp_path), 0, 150)
    assert [len(rows.y) for rows in splits[:3]] == [150, PUBLISHED, 30]
    assert float(splits.train.x.max()) == float(splits.validation.x.max()) == -1.0
    assert float(splits.test.x.min()) == 1.0


def test_a_subset_limits_every_split() -> None:
    splits = draw(load_images("digits", None), 0, 400)
    part = subset(splits, (7, 3))
    for whole, rows in zip(splits[:3], part[:3], strict=True):
        assert torch.equal(rows.x, whole.x[(whole.y == 7) | (whole.y == 3)])
        assert int((rows.y == 0).sum()) == int((whole.y == 7).sum())

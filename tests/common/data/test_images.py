import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from common.data.images import hold_out, load_images
from common.errors import OperatorError


def write(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    (folder / "usps").mkdir(exist_ok=True)
    for split in ("train", "test"):
        np.savez(folder / "usps" / f"{split}.npz", images=images, labels=labels)
    return folder


def some(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n * 256, dtype=np.uint32).astype(np.uint8).reshape(n, 16, 16), np.arange(n, dtype=np.uint8)


def test_digits_are_the_bundled_ones_split_without_overlap() -> None:
    images = load_images("digits", None)
    both = np.concatenate([images.train.images, images.test.images])
    assert (len(images.train.labels), len(images.test.labels)) == (1437, 360)
    bundled = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, both)) == sorted(map(bytes, bundled))
    assert both.max() == 255
    assert load_images("digits", None).train.source == images.train.source


def test_a_set_of_the_data_folder_with_its_digest(tmp_path: Path) -> None:
    pixels, labels = some()
    images = load_images("usps", write(tmp_path, pixels, labels))
    np.testing.assert_array_equal(images.train.images, pixels)
    assert images.test.labels.tolist() == [0, 1, 2, 3]
    source = images.train.source
    assert (source.name, source.items) == ("usps/train.npz", 4)
    assert source.sha256 == hashlib.sha256((tmp_path / "usps/train.npz").read_bytes()).hexdigest()


def test_without_a_folder_or_with_a_wrong_one_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="--data or KITHARA_DATA"):
        load_images("mnist", None)
    with pytest.raises(OperatorError, match=r"--data name the folder that holds mnist/train\.npz"):
        load_images("mnist", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: f.write_bytes(f.read_bytes()[:100]),
        lambda f: f.write_bytes(b""),
        lambda f: np.savez(f, images=some()[0]),
        lambda f: np.savez(f, images=some()[0][:, :8], labels=some()[1]),
        lambda f: np.savez(f, images=some()[0], labels=some()[1] + 8),
        lambda f: np.savez(f, images=some()[0], labels=np.array([{}] * 4)),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage) -> None:
    damage(write(tmp_path, *some()) / "usps" / "test.npz")
    with pytest.raises(OperatorError, match=r"usps/test\.npz.* bring the data set again"):
        load_images("usps", tmp_path)


def test_hold_out_takes_one_in_ten_by_seed() -> None:
    kept, out = hold_out(1000, 0.1, 0)
    assert len(out) == 100
    assert sorted([*kept, *out]) == list(range(1000))
    assert not np.array_equal(out, hold_out(1000, 0.1, 1)[1])

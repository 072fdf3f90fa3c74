import hashlib
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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


COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90))


def jpeg(colour: tuple[int, int, int], size: int = 32) -> np.ndarray:
    file = BytesIO()
    Image.new("RGB", (size, size), colour).save(file, "JPEG", quality=95)
    return np.frombuffer(file.getvalue(), np.uint8)


def coloured(folder: Path, **changes: np.ndarray) -> Path:
    """One-coloured JPEG pictures, one after the other, as the data folder has them."""
    files = [jpeg(colour) for colour in COLOURS]
    arrays = {
        "jpeg_bytes": np.concatenate(files),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": np.array([3, 1, 9, 0], np.uint8),
    } | changes
    (folder / "cifar10_jpeg").mkdir(exist_ok=True)
    for split in ("train", "test"):
        np.savez(folder / "cifar10_jpeg" / f"{split}.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return folder


def test_jpeg_pictures_are_decoded_in_order_with_their_colours(tmp_path: Path) -> None:
    images = load_images("cifar10", coloured(tmp_path))
    assert (images.known.channels, images.known.use) == (3, "research")
    assert images.train.images.shape == (4, 32, 32, 3)
    assert images.train.images.dtype == np.uint8
    np.testing.assert_allclose(images.train.images, np.array(COLOURS)[:, None, None, :] + np.zeros((32, 32, 1)), atol=3)
    assert [images.known.labels[i] for i in images.test.labels] == ["cat", "automobile", "truck", "airplane"]
    assert images.test.source.name == "cifar10_jpeg/test.npz"


@pytest.mark.parametrize(
    "changes",
    [
        {"offsets": np.array([0, 5, 10, 15, 20])},
        {"offsets": np.zeros(5, np.int64)},
        {"offsets": np.array([], np.int64)},
        {"jpeg_bytes": np.zeros(40, np.uint8), "offsets": np.array([0, 10, 20, 30, 40])},
        {"jpeg_bytes": jpeg(COLOURS[0], 16), "offsets": np.array([0, len(jpeg(COLOURS[0], 16))])},
        {"jpeg_bytes": jpeg(COLOURS[0])[:-300], "offsets": np.array([0, len(jpeg(COLOURS[0])) - 300])},
        {"labels": np.array([0, 1], np.uint8)},
        {"labels": np.array([0, 1, 2, 10], np.uint8)},
    ],
)
def test_damaged_jpeg_pictures_are_named(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    with pytest.raises(OperatorError, match=r"cifar10_jpeg/train\.npz.* bring the data set again"):
        load_images("cifar10", coloured(tmp_path, **changes))


def test_the_folder_of_jpeg_pictures_is_named_when_missing(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"folder that holds cifar10_jpeg/train\.npz"):
        load_images("cifar10", tmp_path)


@pytest.mark.skipif(
    not (Path(os.environ.get("KITHARA_DATA", "nowhere")) / "cifar10_jpeg").is_dir(),
    reason="set KITHARA_DATA to a folder with cifar10_jpeg",
)
def test_cifar_has_the_published_mean_colour() -> None:
    images = load_images("cifar10", Path(os.environ["KITHARA_DATA"]))
    assert np.bincount(images.train.labels).tolist() == [5000] * 10
    np.testing.assert_allclose(images.train.images.mean((0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=0.001)

"""Labelled images: scikit-learn's bundled digits, and MNIST, FashionMNIST, USPS and CIFAR-10 from a data folder."""

import hashlib
import lzma
import zipfile
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from common.errors import OperatorError
from common.registry.cards import sha256
from contracts.models import DataSource, Use

DIGITS = tuple("0123456789")
_BROKEN = (OSError, SyntaxError, LookupError, ValueError, EOFError, zipfile.BadZipFile, lzma.LZMAError)
DIGITS_TEST = 360
"""The bundled digits have no published test split: the last rows of one fixed permutation are ours."""


class Known(NamedTuple):
    """What is known of a set before it is read."""

    size: int
    """Height and width in pixels."""
    labels: tuple[str, ...]
    licence: str
    use: Use
    """Whether weights trained on it may be used by anybody."""
    channels: int = 1
    """1 is grey, 3 is RGB."""
    jpeg: bool = False
    """Whether the files hold JPEG pictures, not pixels; the folder's name then ends in ``_jpeg``."""


SETS = {
    "digits": Known(8, DIGITS, "CC BY 4.0 (UCI optical recognition of handwritten digits)", "open"),
    "mnist": Known(28, DIGITS, "none stated with the images; commonly given as CC BY-SA 3.0", "research"),
    "fashion_mnist": Known(
        28,
        (
            "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
        ),
        "MIT (Zalando SE)",
        "open",
    ),
    "usps": Known(16, DIGITS, "none stated; long-standing public research benchmark", "research"),
    "cifar10": Known(
        32,
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "none stated; research benchmark",
        "research",
        channels=3,
        jpeg=True,
    ),
}  # fmt: skip


class Split(NamedTuple):
    images: np.ndarray
    """uint8 (n, height, width), or (n, height, width, 3) in colour; 0 is the background"""
    labels: np.ndarray
    """int64 (n,)"""
    source: DataSource


class Images(NamedTuple):
    known: Known
    train: Split
    test: Split


def load_images(name: str, data: Path | None) -> Images:
    """Read a set of ``SETS``; all but ``digits`` are ``data/<name>[_jpeg]/{train,test}.npz``.

    CIFAR-10 is read from JPEG copies: its figures compare models of this suite with each other, not with publications.
    Raises OperatorError when the folder is not given, lacks the set, or a file is not what it should be.
    """
    known = SETS[name]
    if name == "digits":
        return _digits(known)
    if data is None:
        raise OperatorError(f"{name} is not bundled: give its folder with --data or KITHARA_DATA, or use digits")
    folder = data / (f"{name}_jpeg" if known.jpeg else name)
    return Images(known, *(_read(folder / f"{split}.npz", known) for split in ("train", "test")))


def hold_out(rows: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (kept, held out), int64 ascending: ``share`` of the rows, at least one, drawn by ``seed``."""
    order = np.random.default_rng(seed).permutation(rows)
    out = max(1, round(rows * share))
    return np.sort(order[out:]), np.sort(order[:out])


def _read(path: Path, known: Known) -> Split:
    remedy = f"let --data name the folder that holds {path.parent.name}/{path.name}"
    digest = sha256(path, remedy)
    try:
        # Opened here, because numpy leaves the file of a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            labels = arrays["labels"].astype(np.int64)
            images = _decoded(arrays["jpeg_bytes"], arrays["offsets"], known) if known.jpeg else arrays["images"]
    except _BROKEN as error:
        raise OperatorError(f"{path} cannot be read ({error}); bring the data set again") from error
    colours = (known.channels,) if known.channels > 1 else ()
    if images.dtype != np.uint8 or images.shape != (len(labels), known.size, known.size, *colours) or not len(labels):
        raise OperatorError(f"{path}: images are {images.dtype} {images.shape}; bring the data set again")
    if labels.min() < 0 or labels.max() >= len(known.labels):
        raise OperatorError(f"{path}: a label is not among 0 to {len(known.labels) - 1}; bring the data set again")
    name = f"{path.parent.name}/{path.name}"
    return Split(images, labels, DataSource(name=name, licence=known.licence, sha256=digest, items=len(labels)))


def _decoded(files: np.ndarray, offsets: np.ndarray, known: Known) -> np.ndarray:
    """uint8 (n, size, size, 3): JPEG picture i is ``files[offsets[i]:offsets[i + 1]]``. Raises as ``_BROKEN`` says."""
    if files.dtype != np.uint8 or offsets[0] != 0 or offsets[-1] != len(files) or (np.diff(offsets) < 1).any():
        raise ValueError("the offsets do not cut jpeg_bytes into pictures")
    pixels = np.empty((len(offsets) - 1, known.size, known.size, known.channels), np.uint8)
    for i, (start, end) in enumerate(pairwise(offsets)):
        with JpegImageFile(BytesIO(files[start:end].tobytes())) as picture:
            if picture.size != (known.size, known.size):
                raise ValueError(f"picture {i} has {picture.width} x {picture.height} pixels")
            pixels[i] = np.asarray(picture.convert("RGB"))
    return pixels


def _digits(known: Known) -> Images:
    from sklearn.datasets import load_digits  # a second to import; the other sets do without

    flat, classes = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(classes))
    images = np.rint(np.asarray(flat) * (255 / 16)).astype(np.uint8).reshape(-1, known.size, known.size)[order]
    labels = np.asarray(classes).astype(np.int64)[order]
    cut = len(labels) - DIGITS_TEST
    parts = (("train", slice(None, cut)), ("test", slice(cut, None)))
    return Images(known, *(_bundled(name, images[rows], labels[rows], known) for name, rows in parts))


def _bundled(name: str, images: np.ndarray, labels: np.ndarray, known: Known) -> Split:
    digest = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Split(
        images, labels, DataSource(name=f"digits/{name}", licence=known.licence, sha256=digest, items=len(labels))
    )

"""The rows of a study: a seed draws the splits; parts of them by class."""

from collections.abc import Sequence

import numpy as np
import torch

from common.data.images import Images
from vision_nlp.acn.config import Data
from vision_nlp.features import normalise
from vision_nlp.pictures import Rows, Splits, image_input

DIGITS_TEST, DIGITS_VALIDATION = 0.3, 0.2
"""The bundled digits have no published split: each seed draws one, so the intervals include the choice of rows. The
validation rows, of what remains, choose cuts to half a point, hence not fewer."""
PUBLISHED = 1_000
"""Validation rows, and test rows, of the published sets."""


def draw(images: Images, seed: int, most: int) -> Splits:
    """Disjoint splits with at most ``most`` training rows, in an order drawn by ``seed``."""
    spec = image_input(Data(), images.known)
    rng = np.random.default_rng(seed)

    def rows(pixels: np.ndarray, labels: np.ndarray, numbers: np.ndarray) -> Rows:
        return Rows(torch.from_numpy(normalise(pixels[numbers], spec)), torch.from_numpy(labels[numbers]))

    train, test = images.train, images.test
    if train.source.name.startswith("digits/"):
        pixels = np.concatenate((train.images, test.images))
        labels = np.concatenate((train.labels, test.labels))
        order = rng.permutation(len(labels))
        asked, order = np.split(order, [round(len(order) * DIGITS_TEST)])
        held, kept = np.split(order, [round(len(order) * DIGITS_VALIDATION)])
        tested = rows(pixels, labels, asked)
    else:
        pixels, labels = train.images, train.labels
        held, kept = np.split(rng.permutation(len(labels)), [PUBLISHED])
        tested = rows(test.images, test.labels, rng.permutation(len(test.labels))[:PUBLISHED])
    return Splits(rows(pixels, labels, kept[:most]), rows(pixels, labels, held), tested, images)


def of_classes(rows: Rows, classes: Sequence[int]) -> Rows:
    """The rows of some classes, which become 0, 1, ... in the order given."""
    chosen = torch.isin(rows.y, torch.tensor(classes))
    new = torch.full((max(*classes, int(rows.y.max())) + 1,), -1)
    new[list(classes)] = torch.arange(len(classes))
    return Rows(rows.x[chosen], new[rows.y[chosen]])


def few(rows: Rows, each: int) -> Rows:
    """The first ``each`` rows of every class, in their order."""
    seen = torch.nn.functional.one_hot(rows.y).cumsum(0).gather(1, rows.y[:, None])[:, 0]
    return Rows(rows.x[seen <= each], rows.y[seen <= each])


def subset(splits: Splits, classes: Sequence[int]) -> Splits:
    """``of_classes`` of every split."""
    train, validation, test = (of_classes(rows, classes) for rows in (splits.train, splits.validation, splits.test))
    return Splits(train, validation, test, splits.images)

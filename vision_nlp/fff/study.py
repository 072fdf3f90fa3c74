"""The arms of the claims: small networks that see the same pictures in the same order, through the suite's own trainer.

A seed decides the split, the order and the initial weights. Every arm has the same number of epochs and is selected on
the same validation rows (hard accuracy); the test rows are looked at once, after training.
"""

from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from common.data.images import load_images
from common.data.sampler import EpochSampler
from common.training import loop, seeding
from common.training.distributed import world
from common.training.run import create
from vision_nlp.features import normalise
from vision_nlp.fff.config import Config, Data, Model, Optim, Phase, Phases, Tune
from vision_nlp.fff.evaluate import accuracy, measure
from vision_nlp.fff.model import FFF
from vision_nlp.fff.system import SYSTEM
from vision_nlp.fff.train import phases
from vision_nlp.pictures import Rows, Splits, image_input

RATE = 1e-3
DIGITS_TEST = 0.3
"""The bundled digits have no published split: each seed draws one, so the intervals include the choice of rows."""
Values = dict[str, float]
SELECTED, VALIDATION = "accuracy_hard", "validation_hard"


class Scale(NamedTuple):
    """How much is spent."""

    epochs: int
    seeds: int
    rows: int
    """Training rows at most."""
    batch: int
    shapes: tuple[Model, ...]


def draw(name: str, data: Path | None, seed: int, most: int) -> Splits:
    """At most ``most`` training rows, a tenth of them for validation, drawn by ``seed``; all test rows.

    Raises OperatorError as ``load_images`` does.
    """
    images = load_images(name, data)
    spec = image_input(msgspec.convert({"name": name}, Data), images.known)
    pixels, labels = images.train.images, images.train.labels
    test_pixels, test_labels = images.test.images, images.test.labels
    order = np.random.default_rng(seed).permutation(len(labels) + (len(test_labels) if name == "digits" else 0))
    if name == "digits":
        pixels, labels = np.concatenate((pixels, test_pixels)), np.concatenate((labels, test_labels))
        cut = round(len(order) * DIGITS_TEST)
        test_pixels, test_labels, order = pixels[order[:cut]], labels[order[:cut]], order[cut:]
    order = order[:most]
    held = len(order) // 10

    def rows(x: np.ndarray, y: np.ndarray) -> Rows:
        return Rows(torch.from_numpy(normalise(x, spec)), torch.from_numpy(y))

    kept, validation = order[held:], order[:held]
    return Splits(
        rows(pixels[kept], labels[kept]),
        rows(pixels[validation], labels[validation]),
        rows(test_pixels, test_labels),
        images,
    )


def two_phases(epochs: int, balance: float) -> Phases:
    """The papers' recipe: two thirds of the epochs with h = 1, one third with h = 3 and no balance."""
    last = epochs // 3
    return Phases(
        balance=Phase(epochs=epochs - last, lr=RATE, harden=1.0, balance=balance),
        harden=Phase(epochs=last, lr=RATE, harden=3.0),
        tune=Tune(epochs=0),
    )


def three_phases(epochs: int, balance: float) -> Phases:
    """Ours: as many epochs, the last third of them a hard fine-tuning."""
    last = epochs // 3
    soft = two_phases(epochs - last, balance)
    return Phases(balance=soft.balance, harden=soft.harden, tune=Tune(epochs=last, lr=RATE))


def train_tree(model: Model, schedule: Phases, splits: Splits, batch: int, seed: int) -> tuple[FFF, Values]:
    """Train one tree; the figures are those of ``evaluate.Figures`` and the validation accuracy, as shares of 1."""
    settings = Config(seed=seed, model=model, optim=Optim(batch=batch), phases=schedule)
    seeding.seed_all(seed)
    tree = FFF(splits.train.x.shape[1], len(splits.images.known.labels), model)

    def validate() -> dict[str, float]:
        return {SELECTED: accuracy(tree, splits.validation, hard=True)}

    _fit(tree, tuple(phases(tree, settings, splits.train)), validate, settings, splits)
    figures = msgspec.structs.asdict(measure(tree, splits.train, splits.test))
    values = {field: float(figure) for field, figure in figures.items()}
    return tree, values | {VALIDATION: validate()[SELECTED]}


def train_dense(width: int, epochs: int, splits: Splits, batch: int, seed: int) -> tuple[nn.Sequential, Values]:
    """Train a dense network with one hidden layer; its accuracies count as hard."""
    settings = Config(seed=seed, optim=Optim(batch=batch))
    seeding.seed_all(seed)
    inputs, outputs = splits.train.x.shape[1], len(splits.images.known.labels)
    net = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))
    phase = loop.Phase(
        name="dense",
        epochs=epochs,
        lr=RATE,
        trained=list(net.parameters()),
        optimizer=partial(torch.optim.AdamW, weight_decay=settings.optim.weight_decay, fused=True),
        step=lambda rows: {loop.LOSS: nn.functional.cross_entropy(net(splits.train.x[rows]), splits.train.y[rows])},
    )
    _fit(net, (phase,), lambda: {SELECTED: _right(net, splits.validation)}, settings, splits)
    net.eval()
    return net, dense_values(net, splits, width)


def dense_values(logits: Callable[[Tensor], Tensor], splits: Splits, width: int) -> Values:
    """The figures of a dense network of this width, whatever computes it."""
    return {
        "train_hard": _right(logits, splits.train),
        "test_hard": _right(logits, splits.test),
        "mac": float(width * (splits.train.x.shape[1] + len(splits.images.known.labels))),
        VALIDATION: _right(logits, splits.validation),
    }


def equal_mac_width(model: Model, splits: Splits) -> int:
    """Width of the dense network that costs as much per picture as the tree with its master leaf."""
    inputs, outputs = splits.train.x.shape[1], len(splits.images.known.labels)
    return round(model.leaf_width + model.master_width + model.depth * inputs / (inputs + outputs))


def _fit(
    model: nn.Module,
    chosen: tuple[loop.Phase, ...],
    validate: Callable[[], dict[str, float]],
    settings: Config,
    splits: Splits,
) -> None:
    """Leaves the selected weights in ``model``; the run folder is forgotten."""
    # Hundreds of short runs: their events are of no interest, only their figures are.
    with TemporaryDirectory(prefix="kithara-claims-") as folder, world("cpu") as here, redirect_stderr(StringIO()):
        run = create(Path(folder), system=SYSTEM.name, command="claims", config=settings, seed=settings.seed, data=())
        sampler = EpochSampler(len(splits.train.y), settings.optim.batch, settings.seed, processes=here.size)
        selection = loop.Selection(validate, SELECTED, len(splits.validation.y))
        loop.Trainer(model, chosen, sampler, selection, run, here, loop.Options()).fit()


def _right(logits: Callable[[Tensor], Tensor], rows: Rows) -> float:
    with torch.no_grad():
        return float((logits(rows.x).argmax(1) == rows.y).double().mean())

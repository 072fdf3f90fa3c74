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

import msgspec
import numpy as np
import torch
from torch import nn

from common.data.images import load_images
from common.data.sampler import EpochSampler
from common.training import loop, seeding
from common.training.distributed import world
from common.training.run import create
from vision_nlp.features import normalise
from vision_nlp.fff.config import Config, Data, Model, Optim, Phase, Phases, Tune
from vision_nlp.fff.data import Rows, Splits, image_input
from vision_nlp.fff.evaluate import accuracy, measure
from vision_nlp.fff.model import FFF
from vision_nlp.fff.system import SYSTEM
from vision_nlp.fff.train import phases

BATCH, RATE = 64, 1e-3
DIGITS_TEST = 0.3
"""The bundled digits have no published split: each seed draws one, so the intervals include the choice of rows."""
SELECTED = "accuracy_hard"


def draw(name: str, data: Path | None, seed: int, most: int) -> Splits:
    """At most ``most`` training rows, a tenth of them for validation, drawn by ``seed``; all test rows.

    Raises OperatorError as ``load_images`` does.
    """
    images = load_images(name, data)
    spec = image_input(config(name, seed, Model(), Phases()), images)
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


def config(name: str, seed: int, model: Model, schedule: Phases) -> Config:
    data = msgspec.convert({"name": name}, Data)
    return Config(seed=seed, data=data, model=model, optim=Optim(batch=BATCH), phases=schedule)


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


def train_tree(name: str, model: Model, schedule: Phases, splits: Splits, seed: int) -> dict[str, float]:
    """Train one tree; its figures (``evaluate.Figures``), accuracies as shares of 1."""
    settings = config(name, seed, model, schedule)
    seeding.seed_all(seed)
    tree = FFF(splits.train.x.shape[1], len(splits.images.known.labels), model)

    def validate() -> dict[str, float]:
        return {SELECTED: accuracy(tree, splits.validation, hard=True)}

    _fit(tree, tuple(phases(tree, settings, splits.train)), validate, settings, splits)
    figures = measure(tree, splits.train, splits.test)
    return {field: float(getattr(figures, field)) for field in figures.__struct_fields__}


def train_dense(name: str, width: int, epochs: int, splits: Splits, seed: int) -> dict[str, float]:
    """Train a dense network with one hidden layer; its accuracies count as hard."""
    settings = config(name, seed, Model(), Phases())
    seeding.seed_all(seed)
    inputs, outputs = splits.train.x.shape[1], len(splits.images.known.labels)
    net = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))
    phase = loop.Phase(
        name="dense",
        epochs=epochs,
        lr=RATE,
        trained=list(net.parameters()),
        optimizer=partial(torch.optim.AdamW, weight_decay=settings.optim.weight_decay),
        step=lambda batch: {loop.LOSS: nn.functional.cross_entropy(net(splits.train.x[batch]), splits.train.y[batch])},
    )
    _fit(net, (phase,), lambda: {SELECTED: _right(net, splits.validation)}, settings, splits)
    net.eval()
    return {
        "train_hard": _right(net, splits.train),
        "test_hard": _right(net, splits.test),
        "mac": float(width * (inputs + outputs)),
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
        sampler = EpochSampler(len(splits.train.y), BATCH, settings.seed, processes=here.size)
        selection = loop.Selection(validate, SELECTED, len(splits.validation.y))
        loop.Trainer(model, chosen, sampler, selection, run, here, loop.Options()).fit()


@torch.no_grad()
def _right(net: nn.Module, rows: Rows) -> float:
    return float((net(rows.x).argmax(1) == rows.y).double().mean())

"""One phase of AdamW over all parameters, on augmented pictures."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from common.data.sampler import EpochSampler
from common.errors import OperatorError
from common.training import loop, seeding
from common.training.distributed import World, shared_run, world
from common.training.run import open_run
from vision_nlp import pictures
from vision_nlp.acn.augment import Batch, augment, plain
from vision_nlp.acn.config import Config, Optim
from vision_nlp.acn.evaluate import accuracy
from vision_nlp.acn.losses import cross_entropy, exit_loss
from vision_nlp.acn.model import build
from vision_nlp.acn.system import SYSTEM
from vision_nlp.acn.wiring import AutoCompressing

SELECTED = "accuracy"


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data, a folder that is no run, or a network that does not fit the pictures.
    """
    if resume is not None and open_run(resume, SYSTEM.name).manifest.status == "finished":
        return resume
    with world(config.device) as here:
        seeding.seed_all(config.seed)
        splits = pictures.load(config.data, config.seed, data, here.device)
        model = _build(config, splits).to(here.device)
        run = shared_run(
            here,
            resume,
            out,
            system=SYSTEM.name,
            command=command,
            config=config,
            seed=config.seed,
            data=(splits.images.train.source,),
        )
        # Equal weights, but dropout and augmentation of its own in each process. Checkpoints keep this generator.
        seeding.seed_all((config.seed + here.rank) % 2**32)
        _trainer(model, config, splits, run, here).fit()
    return run.folder


def _build(config: Config, splits: pictures.Splits) -> AutoCompressing:
    try:
        return build(config.model, splits.shape, splits.classes)
    except ValueError as error:
        raise OperatorError(f"model does not fit {config.data.name}: {error}; change model.patch") from error


def step(model: AutoCompressing, config: Config, splits: pictures.Splits, rows: Tensor) -> dict[str, Tensor]:
    """The objective over augmented pictures; ``rows`` int64 (b,)."""
    batch = plain(splits.train.x[rows], splits.train.y[rows], splits.classes)
    batch = augment(batch, splits.shape, config.data, torch.default_generator)
    return objective(model, batch, config.optim)


def objective(model: AutoCompressing, batch: Batch, optim: Optim) -> dict[str, Tensor]:
    """Cross-entropy of the whole network; with ``exit_loss`` e: (1 - e) * whole + e * all sub-networks."""
    if not optim.exit_loss:
        return {loop.LOSS: cross_entropy(model(batch.x), batch.target, optim.label_smoothing)}
    logits = model.forward_all(batch.x)
    whole = cross_entropy(logits[-1], batch.target, optim.label_smoothing)
    exits = exit_loss(logits, batch.target, optim.label_smoothing)
    return {loop.LOSS: (1 - optim.exit_loss) * whole + optim.exit_loss * exits, "whole": whole, "exits": exits}


def _trainer(
    model: AutoCompressing, config: Config, splits: pictures.Splits, run: loop.Run, here: World
) -> loop.Trainer:
    optim, validation = config.optim, splits.validation
    phase = loop.Phase(
        name="train",
        epochs=optim.epochs,
        lr=optim.lr,
        trained=list(model.parameters()),
        optimizer=partial(torch.optim.AdamW, weight_decay=optim.weight_decay),
        step=partial(step, model, config, splits),
    )
    return loop.Trainer(
        model,
        (phase,),
        EpochSampler(len(splits.train.y), optim.batch, config.seed, processes=here.size),
        loop.Selection(lambda: {SELECTED: accuracy(model, validation)}, SELECTED, len(validation.y)),
        run,
        here,
        loop.Options(
            accumulate=optim.accumulate,
            schedule=optim.schedule,
            warmup=optim.warmup,
            clip=optim.clip,
            checkpoint_every=optim.checkpoint_every,
        ),
    )

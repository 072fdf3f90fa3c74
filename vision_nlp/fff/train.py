"""Balance, harden, and (ours) tune under hard routing."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from common.data.sampler import EpochSampler
from common.errors import OperatorError
from common.training import loop, seeding
from common.training.distributed import World, shared_run, world
from common.training.run import open_run
from vision_nlp import pictures
from vision_nlp.fff.config import Config, Phase
from vision_nlp.fff.evaluate import accuracy
from vision_nlp.fff.losses import leaf_balance, node_entropy
from vision_nlp.fff.model import FFF
from vision_nlp.fff.system import SYSTEM
from vision_nlp.pictures import Rows

SELECTED = "accuracy_hard"


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data, a folder that is no run, or a configuration without any epoch.
    """
    if resume is not None and open_run(resume, SYSTEM.name).manifest.status == "finished":
        return resume
    with world(config.device) as here:
        seeding.seed_all(config.seed)
        splits = pictures.load(config.data, config.seed, data, here.device)
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
        model = FFF(splits.train.x.shape[1], len(splits.images.known.labels), config.model).to(here.device)
        seeding.seed_all((config.seed + here.rank) % 2**32)  # equal weights, but dropout of its own in each process
        _trainer(model, config, splits, run, here).fit()
    return run.folder


def phases(model: FFF, config: Config, rows: Rows) -> Iterator[loop.Phase]:
    """The phases that have epochs, in order; each with an optimiser of its own."""
    adamw = partial(_adamw, weight_decay=config.optim.weight_decay)
    everything = list(model.parameters())
    tree = {id(p) for p in model.tree}
    for name, phase in (("balance", config.phases.balance), ("harden", config.phases.harden)):
        if phase.epochs:
            step = partial(soft_step, model, rows, phase)
            yield _phase(name, phase.epochs, phase.lr, everything, adamw, step)
    if config.phases.tune.epochs:
        tune, leaves = config.phases.tune, [p for p in everything if id(p) not in tree]
        yield _phase("tune", tune.epochs, tune.lr, leaves, adamw, partial(hard_step, model, rows))


def soft_step(model: FFF, rows: Rows, phase: Phase, batch: Tensor) -> dict[str, Tensor]:
    """L = cross-entropy + h * entropy + alpha * balance (arXiv 2405.16836, section 3)."""
    routed = model(rows.x[batch])
    task = nn.functional.cross_entropy(routed.logits, rows.y[batch])
    entropy = node_entropy(routed.node_logits)
    balance = leaf_balance(routed.mixture, routed.node_logits)
    loss = task + phase.harden * entropy + phase.balance * balance
    return {loop.LOSS: loss, "task": task, "entropy": entropy, "balance": balance}


def hard_step(model: FFF, rows: Rows, batch: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of the network that is served; the tree gets no gradient."""
    loss = nn.functional.cross_entropy(model(rows.x[batch], hard=True).logits, rows.y[batch])
    return {loop.LOSS: loss}


def _trainer(model: FFF, config: Config, splits: pictures.Splits, run: loop.Run, here: World) -> loop.Trainer:
    optim = config.optim
    chosen = tuple(phases(model, config, splits.train))
    if not chosen:
        raise OperatorError("phases: every phase has 0 epochs; give one of them some")

    def measure() -> dict[str, float]:
        return {
            SELECTED: accuracy(model, splits.validation, hard=True),
            "accuracy_soft": accuracy(model, splits.validation, hard=False),
        }

    return loop.Trainer(
        model,
        chosen,
        EpochSampler(len(splits.train.y), optim.batch, config.seed, processes=here.size),
        loop.Selection(measure, SELECTED, len(splits.validation.y)),
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


def _phase(
    name: str,
    epochs: int,
    lr: float,
    trained: Sequence[nn.Parameter],
    optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer],
    step: Callable[[Tensor], dict[str, Tensor]],
) -> loop.Phase:
    return loop.Phase(name=name, epochs=epochs, lr=lr, trained=trained, optimizer=optimizer, step=step)


def _adamw(trained: Sequence[nn.Parameter], *, weight_decay: float) -> torch.optim.Optimizer:
    # Fused: one pass over each parameter, a fifth of a small network's step less.
    return torch.optim.AdamW(trained, weight_decay=weight_decay, fused=True)

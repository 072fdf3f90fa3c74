"""One short training for all arms of the study, and what a trained network answers.

The suite's trainer writes a run folder and reads the best weights back; hundreds of runs of seconds each, some with a
penalty or a mask that acts between the steps, are made here instead. Order of the rows, rate and optimiser are the
trainer's own. Nothing is selected: an arm is what it is after its last epoch.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from common.data.sampler import EpochSampler
from common.training.loop import factor
from vision_nlp.acn.losses import exit_weights
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows

BATCH, RATE, DECAY, SMOOTHING, CLIP = 64, 3e-3, 0.01, 0.1, 1.0
"""Of the paper's Mixer on CIFAR-10, but for the rate, 1e-3 there for many more epochs, and the decay, not given."""
TUNE_RATE = 1e-3
"""Where a network goes on from what it knows."""
WARMUP = 0.1
"""Share of the steps in which the rate rises."""
CHUNK = 512
"""Rows answered at a time."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(pixels, labels) of a batch to the scalar that is differentiated."""


def nothing() -> None:
    """Between two steps of a plain training."""


class Hooks(NamedTuple):
    """What acts within a step: once the gradients are there, and once the weights have moved."""

    gradients: Callable[[], None] = nothing
    stepped: Callable[[], None] = nothing


class Learnt(NamedTuple):
    seconds: float
    """Of the processor, for the steps alone: other programs beside it do not count, nor does ``ask``."""
    history: tuple[float, ...]
    """``ask`` after each epoch."""


def learn(
    module: nn.Module,
    loss: Loss,
    rows: Rows,
    epochs: int,
    seed: int,
    *,
    rate: float = RATE,
    hooks: Hooks | None = None,
    ask: Callable[[], float] | None = None,
) -> Learnt:
    """Train all parameters of ``module`` for ``epochs``; ``seed`` alone decides the order of the rows."""
    hooks = hooks or Hooks()
    sampler = EpochSampler(len(rows.y), min(BATCH, len(rows.y)), seed)
    total = epochs * len(sampler)
    trained = list(module.parameters())
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=DECAY, fused=True)
    done, seconds, history = 0, 0.0, []
    for epoch in range(epochs):
        module.train()
        began = time.process_time()
        for batch in sampler.batches(epoch):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor(done, total, "cosine", round(WARMUP * total))
            optimizer.zero_grad(set_to_none=True)
            loss(rows.x[batch], rows.y[batch]).backward()
            hooks.gradients()
            nn.utils.clip_grad_norm_(trained, CLIP)
            optimizer.step()
            hooks.stepped()
            done += 1
        seconds += time.process_time() - began
        if ask is not None:
            history.append(ask())
    module.eval()
    return Learnt(seconds, tuple(history))


def smoothed(logits: Float[Tensor, "batch classes"], labels: Tensor) -> Tensor:
    """Cross-entropy with label smoothing, nats."""
    return F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)


def last(model: AutoCompressing) -> Loss:
    """The plain loss: of the whole network alone."""
    return lambda x, y: smoothed(model(x), y)


def all_layers(model: AutoCompressing) -> Loss:
    """Of sub-networks 1..L through the shared head, with linearly increasing weights (appendix H)."""
    weights = exit_weights(model.depth)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([w * smoothed(z, y) for w, z in zip(weights, model.forward_all(x)[1:], strict=True)]).sum()

    return loss


@torch.no_grad()
def answers(model: AutoCompressing, rows: Rows) -> np.ndarray:
    """Logits of all sub-networks, float32 (L + 1, n, classes)."""
    model.eval()
    return torch.cat([model.forward_all(x) for x in rows.x.split(CHUNK)], 1).numpy()


def right(model: AutoCompressing, rows: Rows) -> np.ndarray:
    """Whether sub-network k labels row j right; bool (L + 1, n)."""
    return answers(model, rows).argmax(2) == rows.y.numpy()


@torch.no_grad()
def accuracy(model: AutoCompressing, rows: Rows, upto: int | None = None) -> float:
    """Share of the rows that sub-network ``upto``, by default the whole, labels right."""
    model.eval()
    told = torch.cat([model(x, upto=upto) for x in rows.x.split(CHUNK)]).argmax(1)
    return float((told == rows.y).double().mean())


@torch.no_grad()
def cross_entropy(model: AutoCompressing, rows: Rows) -> float:
    """Mean over the rows, without smoothing, nats."""
    model.eval()
    return float(F.cross_entropy(torch.cat([model(x) for x in rows.x.split(CHUNK)]), rows.y))

"""What a training step takes, beside the looped form of the released code; on one thread, in turns."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from common.export.latency import interleaved
from contracts._base import Record
from vision_nlp.fff.config import Config, Model, Phase, Phases, Tune
from vision_nlp.fff.looped import looped_loss
from vision_nlp.fff.model import FFF
from vision_nlp.fff.train import phases
from vision_nlp.pictures import Rows

INPUTS, OUTPUTS = 784, 10
SHAPE = Model(leaf_width=1, depth=7, master_width=8)
"""The released configuration with the most leaves."""
PHASE = Phase(epochs=1, harden=1.0, balance=1.0)


class StepRow(Record, frozen=True, kw_only=True):
    """One training step at one batch size: forward, losses, backward, AdamW."""

    leaf_width: int
    depth: int
    batch: int
    ours_ms: float
    """Median."""
    looped_ms: float
    """Median."""
    speedup: float
    """Looped over ours."""


def measure_steps(batches: Sequence[int], budget: float, shape: Model = SHAPE) -> tuple[StepRow, ...]:
    """One row per batch size, about ``budget`` seconds for each form; random pixels and labels.

    Raises AssertionError when the two forms differ in the loss: speed of a wrong step is worth nothing.
    """
    return tuple(_measure(batch, budget, shape) for batch in batches)


def _measure(batch: int, budget: float, shape: Model) -> StepRow:
    generator = torch.Generator().manual_seed(0)
    rows = Rows(torch.randn(batch, INPUTS, generator=generator), torch.randint(OUTPUTS, (batch,), generator=generator))
    model, rival = FFF(INPUTS, OUTPUTS, shape), FFF(INPUTS, OUTPUTS, shape)
    rival.load_state_dict(model.state_dict())
    (phase,) = phases(model, Config(phases=Phases(balance=PHASE, harden=Phase(epochs=0), tune=Tune(epochs=0))), rows)
    everything = torch.arange(batch)

    def ours() -> Tensor:
        return phase.step(everything)["loss"]

    def looped() -> Tensor:
        return looped_loss(rival, rows.x, rows.y, PHASE.harden, PHASE.balance)

    torch.testing.assert_close(ours(), looped(), atol=1e-4, rtol=1e-4)
    # Their optimiser is torch's default AdamW.
    calls = {
        "ours": _step(ours, phase.optimizer(list(model.parameters()))),
        "looped": _step(looped, torch.optim.AdamW(rival.parameters())),
    }
    ours_ms, looped_ms = (1e3 * float(np.median(seconds)) for seconds in interleaved(calls, budget).values())
    return StepRow(
        leaf_width=shape.leaf_width,
        depth=shape.depth,
        batch=batch,
        ours_ms=round(ours_ms, 2),
        looped_ms=round(looped_ms, 2),
        speedup=round(looped_ms / ours_ms, 2),
    )


def _step(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step

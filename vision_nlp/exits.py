"""Auto-compressing networks served in pieces: an answer at a given depth, or at the first depth that is certain.

A row that leaves costs nothing more; those that stay go on together. Every piece is a model of its own, so rows of
different requests share its executions as those of any other model.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.errors import BackendFault, Invalid, NotReady, Unknown
from common.runtime.base import Arrays, Call
from common.runtime.models import Models
from common.runtime.slots import Served
from common.runtime.tensors import check
from contracts.models import ModelCard, Stage
from contracts.tensors import Tensor
from contracts.vision_nlp import LOGITS, PIXELS, X_NEXT, Y_NEXT, ClassifyOptions, X, Y
from vision_nlp.acn.early import entropies


class Exit(NamedTuple):
    """Where each row left."""

    logits: np.ndarray
    """float32 (rows, classes)"""
    depth: np.ndarray
    """int64 (rows,): blocks that ran"""
    entropy: np.ndarray
    """float64 (rows,): of the softmax, in nats"""


class Exits:
    """Runs the stages of any served model that has some."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def at_depth(self, card: ModelCard, pixels: np.ndarray, depth: int, call: Call) -> Exit:
        """All rows of float32 (rows, pixels) after ``depth`` blocks.

        Raises Invalid for a depth at which no stage ends, NotReady for a stage that is not served, and what
        ``Engine.infer`` raises.
        """
        return await self._run(card, _up_to(card, depth), pixels, 0.0, call)

    async def until(self, card: ModelCard, pixels: np.ndarray, entropy: float, call: Call) -> Exit:
        """Each row at the first stage with less than ``entropy`` nats; at the last one whatever it has.

        (arXiv 2506.09714, appendix H.) Raises Invalid for a model without stages, and what ``at_depth`` raises.
        """
        return await self._run(card, _stages(card, "exit_entropy"), pixels, entropy, call)

    async def _run(
        self, card: ModelCard, stages: Sequence[Stage], pixels: np.ndarray, threshold: float, call: Call
    ) -> Exit:
        # All at once, before anything is computed: a reload on the way cannot mix two networks.
        served = self._served(card, stages)
        state = {PIXELS: pixels}
        rows = np.arange(check(served[0].card.signature, state, served[0].card.limits))
        logits = np.empty((len(rows), len(card.labels)), np.float32)
        left = Exit(logits, np.empty(len(rows), np.int64), np.empty(len(rows)))
        for stage, version in zip(stages, served, strict=True):
            outputs = await _execute(version, state, call)
            spread = entropies(outputs[LOGITS])
            left.logits[rows], left.depth[rows], left.entropy[rows] = outputs[LOGITS], stage.depth, spread
            stay = spread >= threshold
            rows, state = rows[stay], {X: outputs[X_NEXT][stay], Y: outputs[Y_NEXT][stay]}
            if not len(rows):
                break
        return left

    def _served(self, card: ModelCard, stages: Sequence[Stage]) -> list[Served]:
        found: list[Served] = []
        expects = _dims(card.signature.inputs)
        for stage in stages:
            try:
                found.append(self._models.served(f"{stage.model}@{stage.version}"))
            except (Unknown, NotReady) as error:
                raise _missing(card, stage, error.detail) from None
            piece = found[-1].card
            if piece.task != "network-stage" or _dims(piece.signature.inputs) != expects:
                raise _missing(card, stage, "it does not go on where the one before ends; export the network again")
            expects = _dims(piece.signature.outputs[1:])
        return found


def require(card: ModelCard, options: ClassifyOptions) -> None:
    """Raises Invalid for what cannot be asked of this model: both at once, a depth that it has not, no stages."""
    if options.depth is not None and options.exit_entropy is not None:
        raise Invalid.field("exit_entropy", "given together with depth; give one of them")
    if options.depth is not None:
        _up_to(card, options.depth)
    if options.exit_entropy is not None:
        _stages(card, "exit_entropy")


async def _execute(version: Served, state: Arrays, call: Call) -> dict[str, np.ndarray]:
    """One stage; its times are added to those of the stages before. Raises what ``Engine.infer`` raises."""
    leg = Call(call.request_id, call.deadline)
    outputs = await version.engine.infer(state, leg)
    call.timing.queue += leg.timing.queue
    call.timing.infer += leg.timing.infer
    if not np.isfinite(outputs[LOGITS]).all():
        raise BackendFault(
            f"{version.card.name}@{version.version} answered with numbers that are not finite; publish it anew"
        )
    return outputs


def _dims(tensors: Sequence[Tensor]) -> list[tuple[str | int, ...]]:
    return [tensor.dims for tensor in tensors]


def _up_to(card: ModelCard, depth: int) -> tuple[Stage, ...]:
    stages = _stages(card, "depth")
    depths = [stage.depth for stage in stages]
    if depth not in depths:
        there = ", ".join(map(str, depths))
        raise Invalid.field("depth", f"{card.name!r} answers after {there} blocks, not after {depth}")
    return stages[: depths.index(depth) + 1]


def _stages(card: ModelCard, field: str) -> tuple[Stage, ...]:
    if not card.stages:
        raise Invalid.field(field, f"{card.name!r} has no stages, it answers only as a whole; leave {field} out")
    return card.stages


def _missing(card: ModelCard, stage: Stage, why: str) -> NotReady:
    return NotReady(
        f"stage {stage.model}@{stage.version} of {card.name}@{card.version} is not served ({why}); let an alias keep "
        f"it open (kithara models alias {stage.model} ALIAS {stage.version}) and load it again, or ask without "
        "depth and exit_entropy"
    )

"""Stages 1 and 2 in a given number of updates, for all arms of the study.

Objective, sampler, optimiser and rate are those of ``speech.medusa.stages``; the suite's trainer counts in epochs and
writes a run folder, which would neither give two arms equal updates nor be quick. Nothing is selected: a network is
what it is after its last update.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from typing import NamedTuple

from torch import Tensor, nn

from common.data.sampler import EpochSampler
from common.training import loop, seeding
from speech.medusa.config import Config, Optim
from speech.medusa.members import build, standardise
from speech.medusa.model import DeepSER
from speech.medusa.rows import Sets
from speech.medusa.stages import Job, card, phases


class Updates(NamedTuple):
    """Of each stage."""

    first: int
    second: int


def first_stage(job: Job, config: Config, sets: Sets, updates: Updates) -> DeepSER:
    """A new network after stage 1: all clips, weighted classes."""
    seeding.seed_all(job.seed)
    network = build(card(job, config, sets), config)
    standardise(network, job.learnt)
    everything, _ = phases(network, job, config)
    follow(network, everything, islice(whole(job, config), updates.first), updates.first, job.seed, config.optim)
    return network


def second_stage(network: DeepSER, job: Job, config: Config, updates: Updates, *, balanced: bool = True) -> DeepSER:
    """A copy of ``network`` after stage 2, in eval mode.

    Not ``balanced``: as many updates at the same rates, but with the clips and the weights of stage 1.
    """
    network = copy.deepcopy(network)
    everything, phase = phases(network, job, config)
    if not balanced:
        phase = replace(phase, step=everything.step, sampler=None)
    # All clips: on from where stage 1 stopped.
    rows = endless(phase.sampler) if phase.sampler is not None else islice(whole(job, config), updates.first, None)
    follow(network, phase, islice(rows, updates.second), updates.second, job.seed, config.optim)
    return network.eval()


def follow(
    network: nn.Module, phase: loop.Phase, batches: Iterator[Tensor], updates: int, seed: int, optim: Optim
) -> None:
    """One update for each of the ``updates`` batches. ``seed``: of dropout, augmentation and MixUp, which therefore
    are alike in two arms."""
    seeding.seed_all(seed)
    optimizer = phase.optimizer(phase.trained)
    network.train()
    for done, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = phase.lr * loop.factor(done, updates, optim.schedule, optim.warmup)
        optimizer.zero_grad(set_to_none=True)
        phase.step(rows)[loop.LOSS].backward()
        if optim.clip is not None:
            nn.utils.clip_grad_norm_(phase.trained, optim.clip)
        optimizer.step()


def whole(job: Job, config: Config) -> Iterator[Tensor]:
    """All clips, again and again, in an order that the member's seed alone decides."""
    return endless(EpochSampler(len(job.learnt), config.optim.batch, job.seed))


def endless(sampler: loop.Sampler) -> Iterator[Tensor]:
    """The batches of all epochs, one after another."""
    return (rows for epoch in count() for rows in sampler.batches(epoch))

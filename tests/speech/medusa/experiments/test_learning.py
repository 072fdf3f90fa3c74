"""What makes two arms comparable: updates, rates, clips and draws."""

from collections.abc import Iterator
from dataclasses import replace as with_fields
from itertools import islice
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from common.data.sampler import EpochSampler
from common.training import loop
from speech.medusa.config import Config, Optim
from speech.medusa.experiments import learning
from speech.medusa.experiments.learning import Updates, first_stage, follow, second_stage, whole
from speech.medusa.sampling import BalancedSampler
from speech.medusa.stages import Job
from speech.medusa.study import Round
from speech.medusa.train import jobs


@pytest.fixture
def job(played: Round, config: Config) -> Job:
    return jobs(config, played.sets.train)[0]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, list[list[int]]]]:
    """Name of the phase, updates and row numbers of every call of ``follow``, which goes on as usual."""
    calls: list[tuple[str, int, list[list[int]]]] = []
    real = follow

    def spy(network: nn.Module, phase: loop.Phase, batches: Iterator[Tensor], updates: int, *rest: Any) -> None:
        rows = list(batches)
        calls.append((phase.name, updates, [batch.tolist() for batch in rows]))
        real(network, phase, iter(rows), updates, *rest)

    monkeypatch.setattr(learning, "follow", spy)
    return calls


def test_both_arms_take_the_stated_number_of_updates(
    played: Round, config: Config, job: Job, seen: list[tuple[str, int, list[list[int]]]]
) -> None:
    """More than one epoch of either stage; both phases are stage 1 and stage 2 of the suite's own training."""
    updates = Updates(14, 9)
    network = first_stage(job, config, played.sets, updates)
    for balanced in (True, False):
        second_stage(network, job, config, updates, balanced=balanced)
    assert [(name, count, len(rows)) for name, count, rows in seen] == [
        ("stage1", 14, 14),
        ("stage2", 9, 9),
        ("stage2", 9, 9),
    ]


def test_the_control_of_stage_2_goes_on_through_all_clips_where_stage_1_stopped(
    played: Round, config: Config, job: Job, seen: list[tuple[str, int, list[list[int]]]]
) -> None:
    updates = Updates(14, 9)
    network = first_stage(job, config, played.sets, updates)
    second_stage(network, job, config, updates, balanced=False)
    second_stage(network, job, config, updates)
    sampler = EpochSampler(96, 8, job.seed)
    assert len(sampler) == 12
    order = [rows.tolist() for epoch in range(2) for rows in sampler.batches(epoch)]
    assert seen[0][2] + seen[1][2] == order[:23]
    subset = BalancedSampler(job.learnt.targets, job.learnt.consensus, 8, job.seed)
    drawn = (rows.tolist() for epoch in range(9) for rows in subset.batches(epoch))
    assert seen[2][2] == list(islice(drawn, 9))


def test_the_control_of_stage_2_weighs_classes_as_stage_1(
    played: Round, config: Config, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weighted by class in the control and unweighted in stage 2, from the same network on the same rows."""
    plain = replace(config.model, dropout=0.0, attention_dropout=0.0)
    config = replace(config, mixup=replace(config.mixup, p=0.0), model=plain)
    network = first_stage(job, config, played.sets, Updates(1, 1))
    losses: list[float] = []

    def once(network: nn.Module, phase: loop.Phase, *rest: Any) -> None:
        losses.append(float(phase.step(torch.arange(20))[loop.LOSS].detach()))

    monkeypatch.setattr(learning, "follow", once)
    for balanced in (True, False):
        second_stage(network, job, config, Updates(1, 1), balanced=balanced)
    first, second = learning.phases(network, job, config)
    wanted = [float(phase.step(torch.arange(20))[loop.LOSS].detach()) for phase in (second, first)]
    assert losses == wanted
    assert losses[0] != losses[1]


def test_a_copy_is_tuned_and_the_shared_first_stage_stays(played: Round, config: Config, job: Job) -> None:
    updates = Updates(3, 2)
    network = first_stage(job, config, played.sets, updates)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tuned = second_stage(network, job, config, updates)
    again = second_stage(first_stage(job, config, played.sets, updates), job, config, updates)
    assert not tuned.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
        torch.testing.assert_close(tuned.state_dict()[name], again.state_dict()[name], rtol=0, atol=0)
    assert any(not torch.equal(value, before[name]) for name, value in tuned.state_dict().items())


@pytest.mark.parametrize("clip", [None, 0.5])
def test_an_update_is_a_clipped_step_at_the_rate_of_its_place(clip: float | None) -> None:
    """By hand: gradient descent on w * row, whose gradient is the row itself."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    rows = [torch.tensor([float(n)]) for n in (1, 2, 3, 4)]
    phase = loop.Phase(
        name="x",
        epochs=1,
        lr=0.1,
        trained=list(net.parameters()),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=99.0),
        step=lambda row: {loop.LOSS: net(row).sum()},
    )
    follow(net, phase, iter(rows), 4, 0, Optim(batch=1, warmup=2, schedule="constant", clip=clip))
    gradients = [1.0, 2.0, 3.0, 4.0] if clip is None else [0.5] * 4
    rates = [0.05, 0.1, 0.1, 0.1]
    wanted = -sum(rate * gradient for rate, gradient in zip(rates, gradients, strict=True))
    assert net.weight.item() == pytest.approx(wanted, rel=1e-5)


def test_a_seed_fixes_the_draws_inside_a_stage(played: Round, config: Config, job: Job) -> None:
    """Dropout and MixUp of two arms are alike, whatever drew from the generator before."""
    config = replace(config, model=replace(config.model, dropout=0.5))
    first = first_stage(job, config, played.sets, Updates(3, 0))
    torch.rand(1000)
    again = first_stage(job, config, played.sets, Updates(3, 0))
    other = first_stage(job._replace(seed=job.seed + 1), config, played.sets, Updates(3, 0))
    weights = [torch.cat([p.flatten() for p in n.parameters()]) for n in (first, again, other)]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0], weights[2])


def test_every_epoch_holds_all_clips_once(played: Round, config: Config, job: Job) -> None:
    drawn = whole(job, config)
    for _ in range(2):
        assert sorted(torch.cat([next(drawn) for _ in range(12)]).tolist()) == list(range(96))


def test_standardisation_is_of_the_clips_that_are_learnt(played: Round, config: Config, job: Job) -> None:
    """A copy for a fold must not know the frames that it is asked about."""
    half = with_fields(job.learnt.select(torch.arange(96) < 48))
    network = first_stage(job._replace(learnt=half), config, played.sets, Updates(1, 0))
    front: Any = network.stems["mel"]
    torch.testing.assert_close(front.scale.mean, torch.cat(list(half.streams["mel"])).mean(0), rtol=1e-4, atol=1e-5)

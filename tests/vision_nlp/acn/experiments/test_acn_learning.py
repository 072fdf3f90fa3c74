"""The training that all arms share: order, hooks, losses, and what a network answers."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.data.sampler import EpochSampler
from vision_nlp.acn.experiments.lab import ACN, CLEAN, DENSE, DIRECT, FFN, RESIDUAL, Lab
from vision_nlp.acn.experiments.learning import (
    BATCH,
    SMOOTHING,
    Hooks,
    accuracy,
    all_layers,
    answers,
    cross_entropy,
    last,
    learn,
    right,
)
from vision_nlp.pictures import Rows

ROWS = Rows(torch.arange(150, dtype=torch.float32)[:, None], torch.zeros(150, dtype=torch.int64))


def spied(net: nn.Module, seen: list[list[int]]) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        seen.append(x[:, 0].int().tolist())
        return net(x / 150).square().mean()

    return loss


def test_every_network_sees_the_same_rows_in_the_same_order() -> None:
    orders = []
    for net in (nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 3), nn.Dropout(), nn.Linear(3, 2))):
        seen: list[list[int]] = []
        learn(net, spied(net, seen), ROWS, 3, seed=5)
        orders.append(seen)
    sampler = EpochSampler(150, BATCH, 5)
    assert orders[0] == orders[1] == [batch.tolist() for epoch in range(3) for batch in sampler.batches(epoch)]
    other: list[list[int]] = []
    net = nn.Linear(1, 1)
    learn(net, spied(net, other), ROWS, 3, seed=6)
    assert other != orders[0]
    assert sorted(number for batch in other[:3] for number in batch) == list(range(150))


def test_hooks_act_between_backward_and_step_and_after_it() -> None:
    net, log = nn.Linear(1, 1), []
    with torch.no_grad():
        net.weight.fill_(2.0)

    def gradients() -> None:
        assert net.weight.grad is not None
        log.append(("gradients", net.weight.item(), net.weight.grad.item()))
        net.weight.grad.zero_()  # moves nothing then, but for the decay
        net.bias.grad = None

    learn(net, lambda x, y: net(x / 150).mean(), ROWS._replace(x=ROWS.x + 1), 1, 0,
          hooks=Hooks(gradients, lambda: log.append(("stepped", net.weight.item(), 0.0))))  # fmt: skip
    assert [name for name, *_ in log] == ["gradients", "stepped"] * 3
    assert log[0][1] == 2.0
    assert log[0][2] > 0
    assert 1.99 < log[-1][1] < 2.0


def test_the_network_is_asked_after_every_epoch() -> None:
    net, calls = nn.Linear(1, 1), iter((0.25, 0.5, 0.75))
    assert learn(net, spied(net, []), ROWS, 3, 0, ask=lambda: next(calls)).history == (0.25, 0.5, 0.75)
    assert not net.training


def test_initial_weights_are_equal_in_all_modes_of_one_layer(lab: Lab) -> None:
    first = lab.fresh(ACN, 3).state_dict()
    for kind in (DIRECT, RESIDUAL, FFN, DENSE):
        state = lab.fresh(kind, 3).state_dict()
        assert all(torch.equal(value, state[name]) for name, value in first.items())
    assert not all(
        torch.equal(v, w) for v, w in zip(first.values(), lab.fresh(ACN, 4).state_dict().values(), strict=True)
    )
    assert lab.fresh(CLEAN, 3).state_dict().keys() < first.keys()


def test_training_twice_gives_the_same_bits(lab: Lab) -> None:
    rows = lab.splits(0).train
    states = []
    for _ in range(2):
        model = lab.fresh(ACN, 0)
        learn(model, last(model), rows, 1, 0)
        states.append(model.state_dict())
    assert all(torch.equal(v, states[1][name]) for name, v in states[0].items())


def test_losses_by_hand(lab: Lab) -> None:
    model, rows = lab.fresh(ACN, 0), lab.splits(0).train
    x, y = rows.x[:20], rows.y[:20]
    shares = (1 - SMOOTHING) * F.one_hot(y, 10) + SMOOTHING / 10

    def of(k: int) -> Tensor:
        return -(shares * model(x, upto=k).log_softmax(1)).sum(1).mean()

    assert last(model)(x, y).item() == pytest.approx(of(3).item(), rel=1e-5)
    # w_l = 2 (l + 1) / (L (L + 1)): 1/6, 2/6, 3/6 for three blocks
    expected = (of(1) + 2 * of(2) + 3 * of(3)) / 6
    assert all_layers(model)(x, y).item() == pytest.approx(expected.item(), rel=1e-5)


def test_answers_are_those_of_the_sub_networks(lab: Lab) -> None:
    model, test = copy.deepcopy(lab.trained(ACN, 0).model), lab.splits(0).test
    told = answers(model, test)
    for k in range(4):
        logits = model(test.x, upto=k).detach()
        np.testing.assert_allclose(told[k], logits.numpy(), atol=1e-5)
        hits = (logits.argmax(1) == test.y).numpy()
        np.testing.assert_array_equal(right(model, test)[k], hits)
        assert accuracy(model, test, upto=k) == pytest.approx(hits.mean())
    chosen = -model(test.x).detach().log_softmax(1)[torch.arange(len(test.y)), test.y]
    assert cross_entropy(model, test) == pytest.approx(float(chosen.mean()), rel=1e-5)

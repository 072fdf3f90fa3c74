"""Synaptic Intelligence against its equations, step by step in plain numbers."""

import pytest
import torch
from torch import nn

from vision_nlp.acn.experiments.synaptic import DAMPING, SynapticIntelligence

CURVES = (3.0, 0.5)
"""Loss of a task: sum_k a_k (theta_k - t_k)^2 / 2."""


def learn(
    held: SynapticIntelligence, theta: nn.Parameter, target: tuple[float, float], steps: int
) -> list[list[float]]:
    """Gradient descent with rate 0.1; the total gradients."""
    totals = []
    for _ in range(steps):
        theta.grad = torch.tensor(CURVES) * (theta.detach() - torch.tensor(target))
        held.hooks.gradients()
        assert theta.grad is not None
        totals.append(theta.grad.tolist())
        with torch.no_grad():
            theta -= 0.1 * theta.grad
        held.hooks.stepped()
    return totals


def test_importance_is_the_path_integral_over_the_movement() -> None:
    theta = nn.Parameter(torch.zeros(2))
    held = SynapticIntelligence([theta], strength=0.7)
    assert held.penalty() == 0.0
    learn(held, theta, (1.0, -1.0), 4)
    assert held.penalty() == 0.0  # nothing is held during the first task
    held.consolidate()
    assert held.penalty() == 0.0  # at the anchor itself
    for k, (a, goal) in enumerate(zip(CURVES, (1.0, -1.0), strict=True)):
        at = path = 0.0
        for _ in range(4):
            gradient = a * (at - goal)
            path += gradient * 0.1 * gradient
            at -= 0.1 * gradient
        assert theta[k].item() == pytest.approx(at, rel=1e-5)
        assert held.importance[0][k].item() == pytest.approx(path / (at**2 + DAMPING), rel=1e-4)


def test_the_second_task_pays_for_leaving() -> None:
    theta = nn.Parameter(torch.zeros(2))
    held = SynapticIntelligence([theta], strength=0.7)
    learn(held, theta, (1.0, -1.0), 4)
    held.consolidate()
    anchor, omega = theta.detach().clone(), held.importance[0].clone()
    with torch.no_grad():
        theta += torch.tensor([0.2, -0.3])
    assert held.penalty() == pytest.approx(0.7 * float((omega * torch.tensor([0.04, 0.09])).sum()), rel=1e-4)
    (total,) = learn(held, theta, (0.0, 0.0), 1)
    moved = torch.tensor([0.2, -0.3])
    expected = torch.tensor(CURVES) * (anchor + moved) + 2 * 0.7 * omega * moved
    assert total == pytest.approx(expected.tolist(), rel=1e-4)


def test_importance_counts_the_task_s_own_gradient_and_adds_up() -> None:
    """The penalty's share of a step does not count as the new task's."""
    theta = nn.Parameter(torch.zeros(2))
    held = SynapticIntelligence([theta], strength=5.0)
    learn(held, theta, (1.0, -1.0), 2)
    held.consolidate()
    first = held.importance[0].clone()
    start = theta.detach().clone()
    (total,) = learn(held, theta, (0.0, 0.0), 1)
    held.consolidate()
    own = torch.tensor(CURVES) * start
    moved = -0.1 * torch.tensor(total)
    added = (-own * moved).clamp(min=0) / (moved**2 + DAMPING)
    assert torch.allclose(held.importance[0], first + added, rtol=1e-4)


def test_a_weight_that_moved_uphill_is_not_held() -> None:
    theta = nn.Parameter(torch.zeros(1))
    held = SynapticIntelligence([theta], strength=1.0)
    theta.grad = torch.tensor([2.0])
    held.hooks.gradients()
    with torch.no_grad():
        theta += 1.0
    held.hooks.stepped()
    held.consolidate()
    assert float(held.importance[0]) == 0.0

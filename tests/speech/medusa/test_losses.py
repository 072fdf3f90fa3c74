"""Soft cross-entropy and attribute error (sections 2.2, 2.5, 4.9, 9.1, 10.3)."""

import math

import pytest
import torch
from torch.nn import functional as F

from speech.medusa.config import Weights
from speech.medusa.losses import attribute_error, class_weights, soft_cross_entropy, total

NAN = float("nan")


def test_by_hand() -> None:
    """-(sum y log p) of two classes: p = (0.75, 0.25) and (0.5, 0.5)."""
    logits = torch.tensor([[math.log(3), 0.0], [1.0, 1.0]])
    targets = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    expected = (-0.5 * math.log(0.75) - 0.5 * math.log(0.25) + math.log(2)) / 2
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(expected, rel=1e-6)


def test_one_hot_rows_give_the_hard_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 8), torch.randint(8, (9,))
    ours = soft_cross_entropy(logits, F.one_hot(labels, 8).float())
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels))


def test_weighted_as_torch_weights_probability_targets() -> None:
    """Section 9.1: divided by the batch, not by the summed weights."""
    torch.manual_seed(0)
    logits, targets, weights = torch.randn(9, 8), torch.rand(9, 8), torch.rand(8)
    torch.testing.assert_close(
        soft_cross_entropy(logits, targets, weights), F.cross_entropy(logits, targets, weight=weights)
    )
    labels = torch.randint(8, (9,))
    hard = soft_cross_entropy(logits, F.one_hot(labels, 8).float(), weights)
    by_weights = F.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(hard, by_weights * weights[labels].sum() / 9)


def test_a_clip_without_consensus_is_learnt_from() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    soft_cross_entropy(logits, torch.tensor([[0.4, 0.4, 0.2, 0.0]])).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.15, -0.15, 0.05, 0.25]]))


def test_class_weights_come_from_the_soft_mass() -> None:
    """w_c = (N / (|C| f_c))^0.5 with f = (1.5, 0.5)."""
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    expected = torch.tensor([(2 / (2 * 1.5)) ** 0.5, (2 / (2 * 0.5)) ** 0.5])
    torch.testing.assert_close(class_weights(targets), expected)
    torch.testing.assert_close(class_weights(targets, 0.0), torch.ones(2))
    weights = class_weights(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(weights, torch.tensor([0.5**0.5, 1.0]))


def test_what_was_not_judged_counts_in_neither_error_nor_gradient() -> None:
    said = torch.tensor([[2.0, 3.0, 4.0], [5.0, 5.0, 5.0]], requires_grad=True)
    truth = torch.tensor([[1.0, NAN, 6.0], [NAN, NAN, NAN]])
    error = attribute_error(said, truth)
    assert error.item() == pytest.approx((1 + 4) / 2)
    error.backward()
    assert said.grad is not None
    assert said.grad.tolist() == [[1.0, 0.0, -2.0], [0.0, 0.0, 0.0]]
    nothing = attribute_error(said, torch.full((2, 3), NAN))
    assert nothing.item() == 0.0
    whole = torch.rand(2, 3)
    torch.testing.assert_close(attribute_error(said, whole), F.mse_loss(said, whole))


def test_the_whole_loss() -> None:
    assert total(torch.tensor(2.0), torch.tensor(10.0), Weights()).item() == pytest.approx(1.5 * 2 + 0.4 * 10)
    assert total(torch.tensor(2.0), None, Weights()).item() == pytest.approx(3.0)

"""The objective by hand."""

import numpy as np
import pytest
import torch
from scipy import special

from vision_nlp.acn.losses import cross_entropy, exit_loss, exit_weights


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_weights_of_the_sub_networks_grow_linearly_and_add_up_to_one() -> None:
    assert exit_weights(3).tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert exit_weights(1).tolist() == [1.0]
    assert exit_weights(12).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_against_shares_of_classes(smoothing: float) -> None:
    read, target = logits(4, 3), torch.tensor([[1, 0, 0], [0, 0, 1], [0.25, 0.75, 0], [0, 1, 0]])
    wanted = (1 - smoothing) * target.numpy() + smoothing / 3
    expected = -(wanted * special.log_softmax(read.numpy(), 1)).sum(1).mean()
    assert cross_entropy(read, target, smoothing).item() == pytest.approx(expected, rel=1e-5)


def test_exit_loss_weighs_every_sub_network_but_the_bare_embedding() -> None:
    read = logits(4, 5, 3).requires_grad_()
    target = torch.eye(3)[torch.tensor([0, 1, 2, 1, 0])]
    loss = exit_loss(read, target, 0.2)
    wanted = 0.8 * target.numpy() + 0.2 / 3
    each = [-(wanted * special.log_softmax(k, 1)).sum(1).mean() for k in read.detach().numpy()]
    assert loss.item() == pytest.approx(np.dot(each[1:], [1 / 6, 2 / 6, 3 / 6]), rel=1e-5)
    loss.backward()
    assert read.grad is not None
    assert read.grad[0].abs().max() == 0
    assert (read.grad[1:].abs().amax((1, 2)) > 0).all()

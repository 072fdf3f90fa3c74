import pytest
import torch

from vision_nlp.fff.config import Model
from vision_nlp.fff.losses import leaf_balance, node_entropy
from vision_nlp.fff.model import FFF


def mixture(decisions: torch.Tensor) -> torch.Tensor:
    depth = decisions.shape[1].bit_length()
    return FFF(2, 2, Model(depth=depth, leaf_width=1)).mixture(decisions)


def steep(leaves: list[int]) -> torch.Tensor:
    """Node logits of a depth 2 tree that send row i to ``leaves[i]`` with certainty."""
    z = torch.full((len(leaves), 3), -100.0)
    for row, leaf in enumerate(leaves):
        z[row, 0] = 100.0 if leaf >= 2 else -100.0
        z[row, 1 + leaf // 2] = 100.0 if leaf % 2 else -100.0
    return z


@pytest.mark.parametrize(("leaves", "expected"), [([0, 1, 2, 3], 1.0), ([2, 2, 2, 2], 4.0), ([0, 0, 3, 3], 2.0)])
@pytest.mark.parametrize("repeat", [1, 5])
def test_balance_is_1_when_uniform_and_n_when_collapsed_at_any_batch_size(
    leaves: list[int], expected: float, repeat: int
) -> None:
    """The released code divides by the nominal batch size, so that a short last batch counts less."""
    z = steep(leaves * repeat)
    assert leaf_balance(mixture(torch.sigmoid(z)), z).item() == pytest.approx(expected)


def test_balance_gradient_flows_through_the_soft_weights_only() -> None:
    z = torch.randn(6, 3, dtype=torch.float64)
    p = mixture(torch.sigmoid(z)).requires_grad_()
    torch.autograd.gradcheck(lambda q: leaf_balance(q, z), p)
    f = torch.bincount(mixture((z >= 0).double()).argmax(1), minlength=4) / 6
    (grad,) = torch.autograd.grad(leaf_balance(p, z), p)
    torch.testing.assert_close(grad, (4 * f / 6).expand(6, 4).double())
    live = z.clone().requires_grad_()
    (through_f,) = torch.autograd.grad(leaf_balance(p.detach(), live) + 0 * live.sum(), live)
    assert not through_f.any()


def test_entropy_is_the_mean_over_rows_and_nodes() -> None:
    assert node_entropy(torch.zeros(4, 3)).item() == pytest.approx(0.6931, abs=1e-4)
    assert node_entropy(torch.full((4, 3), 50.0)).item() < 1e-4
    z = torch.tensor([[0.0, 50.0]])
    assert node_entropy(z.repeat(9, 1)).item() == pytest.approx(0.6931 / 2, abs=1e-4)
    c = torch.sigmoid(torch.tensor(1.3))
    expected = torch.distributions.Bernoulli(c).entropy()
    assert node_entropy(torch.tensor([[1.3]])).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_tree_without_nodes_costs_nothing() -> None:
    z = torch.zeros(4, 0)
    assert node_entropy(z).item() == 0
    assert leaf_balance(mixture(z), z).item() == 1

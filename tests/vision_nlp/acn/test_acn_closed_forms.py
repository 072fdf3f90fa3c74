"""The network of section 3 of arXiv 2506.09714: one number, L factors. Autograd against the closed forms."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vision_nlp.acn.wiring import AutoCompressing, first, has_skips

FACTORS = st.lists(st.floats(-1.5, 1.5).map(lambda w: round(w, 3)), min_size=1, max_size=6)
X0 = 0.7


class Factor(nn.Module):
    """x -> w x, and with skips w x + x."""

    def __init__(self, w: float, skips: bool) -> None:
        super().__init__()
        self.w, self.skips = nn.Parameter(torch.tensor(w, dtype=torch.float64)), skips

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x + x if self.skips else self.w * x


def line(factors: list[float], mode: Any, **options: Any) -> AutoCompressing:
    blocks = [Factor(w, has_skips(mode)) for w in factors]
    return AutoCompressing(blocks, nn.Identity(), nn.Identity(), nn.Identity(), first, mode, **options).double()


def learnt(net: AutoCompressing, k: int) -> tuple[float, list[float]]:
    """y_k and dy_k/dw_i, i = 1..k."""
    y = net(torch.full((1, 1, 1), X0, dtype=torch.float64), upto=k).squeeze()
    if k == 0:
        return y.item(), []
    gradients = torch.autograd.grad(y, [net.blocks[i].w for i in range(k)])  # pyright: ignore[reportArgumentType]
    return y.item(), [g.item() for g in gradients]


def product(factors: list[float]) -> float:
    return float(np.prod(factors))


def direct_and_mediated(later: list[float]) -> float:
    """1 + sum_{j>i} prod_{k=i+1..j} w_k: the backward term of ACN."""
    return 1 + sum(product(later[:j]) for j in range(1, len(later) + 1))


CLOSED = {
    "ffn": (lambda w: product(w), lambda later: product(later), lambda before: product(before)),
    "residual": (
        lambda w: product([1 + v for v in w]),
        lambda later: product([1 + v for v in later]),
        lambda before: product([1 + v for v in before]),
    ),
    "acn": (direct_and_mediated, direct_and_mediated, lambda before: product(before)),
    "acn_dg": (direct_and_mediated, lambda _: 1.0, lambda before: product(before)),
}
"""Mode: the output over x_0, the backward term and the forward term of section 3, table 1."""


@pytest.mark.parametrize("mode", CLOSED)
@settings(max_examples=25, deadline=None)
@given(factors=FACTORS)
def test_autograd_equals_the_closed_form(mode: str, factors: list[float]) -> None:
    net, (output, backward, forward) = line(factors, mode), CLOSED[mode]
    for k in range(len(factors) + 1):
        y, gradients = learnt(net, k)
        w = factors[:k]
        assert y == pytest.approx(output(w) * X0, abs=1e-9)
        expected = [backward(w[i + 1 :]) * forward(w[:i]) * X0 for i in range(k)]
        assert gradients == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(factors=FACTORS, eighths=st.integers(-8, 8))
@pytest.mark.parametrize("residual_learnt", [False, True])
def test_residual_weight_is_added_to_every_factor(factors: list[float], eighths: int, residual_learnt: bool) -> None:
    """x_i = w_i x_{i-1} + r x_{i-1} = (w_i + r) x_{i-1}: the closed form of ACN at w + r."""
    weight = eighths / 8  # exact in float32, in which the weights are made
    net = line(factors, "acn", residual_weight=weight, residual_learnt=residual_learnt)
    moved = line([w + weight for w in factors], "acn")
    y, gradients = learnt(net, len(factors))
    expected, slopes = learnt(moved, len(factors))
    assert y == pytest.approx(expected, abs=1e-9)
    assert gradients == pytest.approx(slopes, abs=1e-9)
    if residual_learnt:
        # r_i and w_i enter in the same place.
        net(torch.full((1, 1, 1), X0, dtype=torch.float64)).backward()
        assert [r.grad.item() for r in net.weights] == pytest.approx(slopes, abs=1e-9)  # pyright: ignore[reportOptionalMemberAccess]
    else:
        assert not list(net.weights)


@settings(max_examples=25, deadline=None)
@given(factors=FACTORS, seed=st.integers(0, 99))
def test_denseformer_equals_the_chain_rule_over_all_paths(factors: list[float], seed: int) -> None:
    """X_i = (1 + w_i) Y_{i-1}, Y_i = sum_{j<=i} a_ij X_j. With D_i = dY_L/dY_i:
    dY_L/dX_j = sum_{i>=j} D_i a_ij, hence dY_L/dw_i = dY_L/dX_i Y_{i-1} and dY_L/da_ij = D_i X_j."""
    net, L = line(factors, "denseformer"), len(factors)
    a = np.tril(np.random.default_rng(seed).normal(size=(L + 1, L + 1)))
    a[0, 0] = 1
    with torch.no_grad():
        for i in range(1, L + 1):
            net.weights[i - 1].copy_(torch.from_numpy(a[i, : i + 1]))
    X, Y = [X0], [X0]
    for i in range(1, L + 1):
        X.append((1 + factors[i - 1]) * Y[i - 1])
        Y.append(float(a[i, : i + 1] @ X))
    D, to_x = np.zeros(L + 1), np.zeros(L + 1)
    D[L] = 1
    for j in range(L, 0, -1):
        to_x[j] = D @ a[:, j]
        D[j - 1] = to_x[j] * (1 + factors[j - 1])

    y, gradients = learnt(net, L)
    assert y == pytest.approx(Y[L], rel=1e-9, abs=1e-9)
    assert gradients == pytest.approx([to_x[i] * Y[i - 1] for i in range(1, L + 1)], rel=1e-9, abs=1e-9)
    net(torch.full((1, 1, 1), X0, dtype=torch.float64)).backward()
    for i in range(1, L + 1):
        np.testing.assert_allclose(net.weights[i - 1].grad, D[i] * np.asarray(X[: i + 1]), rtol=1e-8, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(factors=FACTORS)
def test_untrained_denseformer_is_the_residual_network(factors: list[float]) -> None:
    assert learnt(line(factors, "denseformer"), len(factors)) == learnt(line(factors, "residual"), len(factors))


@pytest.mark.parametrize("mode", ["acn_dg", "residual", "ffn", "denseformer"])
def test_residual_weight_belongs_to_acn_alone(mode: str) -> None:
    with pytest.raises(ValueError, match=f"not to {mode}"):
        line([1.0], mode, residual_weight=0.5)


def test_weight_to_learn_needs_a_start() -> None:
    with pytest.raises(ValueError, match="needs a residual_weight to start from"):
        line([1.0], "acn", residual_learnt=True)

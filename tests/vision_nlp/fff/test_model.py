import numpy as np
import pytest
import torch

from vision_nlp.fff.config import Model
from vision_nlp.fff.hard import HardFFF
from vision_nlp.fff.model import FFF, descend

I, O = 7, 5  # noqa: E741


def network(depth: int, leaf: int, master: int = 0, **options: float) -> FFF:
    torch.manual_seed(depth * 10 + leaf)
    model = FFF(I, O, Model(depth=depth, leaf_width=leaf, master_width=master, **options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def naive(model: FFF, x: np.ndarray, soft: bool) -> np.ndarray:
    """One row by recursion over the tree, float64; from the definition, not from the module."""
    w = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    nodes = len(w["node_bias"])

    def visit(node: int) -> np.ndarray:
        if node >= nodes:
            i = node - nodes
            return w["w2"][i] @ np.maximum(w["w1"][i] @ x + w["b1"][i], 0) + w["b2"][i]
        z = w["node_weight"][node] @ x + w["node_bias"][node]
        c = 1 / (1 + np.exp(-z)) if soft else float(z >= 0)
        left = (1 - c) * visit(2 * node + 1) if c < 1 else 0
        return left + (c * visit(2 * node + 2) if c > 0 else 0)

    y = visit(0)
    if "k" in w:
        s = 1 / (1 + np.exp(-w["k"]))
        hidden = np.maximum(w["master.0.weight"] @ x + w["master.0.bias"], 0)
        y = s * y + (1 - s) * (w["master.3.weight"] @ hidden + w["master.3.bias"])
    return y


@pytest.mark.parametrize("depth", range(9))
@pytest.mark.parametrize("leaf", [1, 3, 8])
@pytest.mark.parametrize("master", [0, 4])
def test_soft_and_every_hard_form_equal_naive_recursion(depth: int, leaf: int, master: int) -> None:
    """Biases are not zero: the released package leaves the output bias out of its hard forward."""
    model, x = network(depth, leaf, master), torch.randn(6, I, generator=torch.Generator().manual_seed(3))
    rows = x.double().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(model(x).logits, [naive(model, row, soft=True) for row in rows], atol=1e-5)
        hard = np.stack([naive(model, row, soft=False) for row in rows])
        for answer in (
            model(x, hard=True).logits,
            HardFFF(model.weights())(x).logits,
            HardFFF(model.weights()).grouped(x).logits,
        ):
            np.testing.assert_allclose(answer, hard, atol=1e-5)
        assert HardFFF(model.weights())(x).leaf.tolist() == descend(model(x).node_logits).tolist()


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3)])
def test_any_leading_dimensions(shape: tuple[int, ...]) -> None:
    model, x = network(3, 2, 2), torch.randn(*shape, I)
    routed = model(x)
    assert [tuple(part.shape) for part in routed] == [(*shape, O), (*shape, 7), (*shape, 8)]
    for hard in (False, True):
        one_by_one = [model(row, hard=hard).logits for row in x.reshape(-1, I)]
        torch.testing.assert_close(model(x, hard=hard).logits.reshape(-1, O), torch.stack(one_by_one))
    assert descend(routed.node_logits).shape == shape


@pytest.mark.parametrize("depth", range(7))
def test_mixture_is_a_distribution_and_one_hot_at_the_leaf_reached(depth: int) -> None:
    mixture, z = network(depth, 1).mixture, torch.randn(20, 2**depth - 1)
    torch.testing.assert_close(mixture(torch.sigmoid(z)).sum(1), torch.ones(20))
    one_hot = mixture((z >= 0).float())
    assert torch.equal(one_hot, torch.nn.functional.one_hot(descend(z), 2**depth).float())


def test_a_tie_goes_right_in_all_hard_forms() -> None:
    model, x = network(2, 3), torch.randn(4, I)
    with torch.no_grad():
        for part in model.tree:
            part.zero_()
    assert model(x, hard=True).mixture.argmax(1).tolist() == [3] * 4
    assert descend(model(x).node_logits).tolist() == HardFFF(model.weights())(x).leaf.tolist() == [3] * 4


def test_region_leak_of_one_swaps_every_decision_while_training_only() -> None:
    model, x = network(3, 2, region_leak=1.0), torch.randn(5, I)
    straight = model(x)
    swapped = model.train()(x)
    torch.testing.assert_close(swapped.mixture, model.mixture(1 - straight.node_logits.sigmoid()))


def test_initial_weights_lie_within_the_papers_bounds_and_the_masters_own() -> None:
    model = FFF(100, O, Model(depth=3, leaf_width=4, master_width=64))
    assert model.master is not None
    bounds = {"w1": 0.1, "node_weight": 0.1, "w2": 0.5, "master.3.weight": 1 / 8}
    for name, parameter in model.named_parameters():
        if name in bounds:
            assert 0.7 * bounds[name] < parameter.abs().max() <= bounds[name]
    assert model.share == pytest.approx(0.6225, abs=1e-4)


def test_cost_counts_the_master_leaf() -> None:
    """Section 4 of the notes: eFFF (8, 4) + 8 on 784 -> 10 costs 15,840, FFF (8, 4) 9,488."""
    sizes = {"depth": 4, "leaf_width": 8}
    assert FFF(784, 10, Model(**sizes, master_width=8)).mac == 15_840
    assert FFF(784, 10, Model(**sizes, master_width=0)).mac == 9_488


def test_node_logits_stay_float32_under_autocast() -> None:
    model, x = network(3, 2), torch.randn(4, I)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.node_logits(x), model(x).node_logits)
        assert model.node_logits(x).dtype == torch.float32
    torch.testing.assert_close(model(x).node_logits, model.node_logits(x))

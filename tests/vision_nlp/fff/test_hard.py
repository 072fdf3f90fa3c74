import numpy as np
import pytest
import torch
from torch import Tensor

from vision_nlp.fff.hard import HardFFF, Output, Weights, default_routing

INPUTS, OUTPUTS = 7, 5


def random_weights(depth: int, leaf: int, master: int = 0, seed: int = 0) -> Weights:
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    n = 2**depth
    return Weights(
        node_weight=draw(n - 1, INPUTS),
        node_bias=draw(n - 1),
        w1=draw(n, leaf, INPUTS),
        b1=draw(n, leaf),
        w2=draw(n, OUTPUTS, leaf),
        b2=draw(n, OUTPUTS),
        master=(draw(master, INPUTS), draw(master), draw(OUTPUTS, master), draw(OUTPUTS)) if master else None,
        share=0.6 if master else 1.0,
    )


def naive(weights: Weights, row: np.ndarray) -> tuple[np.ndarray, int, float]:
    """The paper's definition, one row, float64: descend, right iff logit >= 0, evaluate one leaf."""
    w = [t.double().numpy() for t in weights[:6]]
    node, margin, n = 0, np.inf, len(w[2])
    while node < n - 1:
        logit = w[0][node] @ row + w[1][node]
        margin = min(margin, abs(logit))
        node = 2 * node + (2 if logit >= 0 else 1)
    leaf = node - (n - 1)
    y = w[4][leaf] @ np.maximum(w[2][leaf] @ row + w[3][leaf], 0) + w[5][leaf]
    if weights.master is not None:
        m = [t.double().numpy() for t in weights.master]
        y = weights.share * y + (1 - weights.share) * (m[2] @ np.maximum(m[0] @ row + m[1], 0) + m[3])
    return y, leaf, margin


def pixels(batch: int, seed: int = 1) -> Tensor:
    return torch.randn(batch, INPUTS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("depth", range(9))
@pytest.mark.parametrize("leaf", [1, 3, 8])
@pytest.mark.parametrize("master", [0, 4])
def test_every_form_equals_naive_descent(depth: int, leaf: int, master: int) -> None:
    weights, x = random_weights(depth, leaf, master), pixels(40)
    expected = [naive(weights, row) for row in x.double().numpy()]
    for answer in (HardFFF(weights, "descend")(x), HardFFF(weights, "all-nodes")(x), HardFFF(weights).grouped(x)):
        assert answer.leaf.tolist() == [leaf for _, leaf, _ in expected]
        np.testing.assert_allclose(answer.logits, np.stack([y for y, _, _ in expected]), atol=2e-4)
        if depth:
            np.testing.assert_allclose(answer.path_margin, [m for _, _, m in expected], atol=1e-5)
        else:
            assert (answer.path_margin == torch.finfo(torch.float32).max).all()


def test_a_tie_goes_right_in_both_routings() -> None:
    weights = random_weights(3, 2)._replace(node_weight=torch.zeros(7, INPUTS), node_bias=torch.zeros(7))
    for routing in ("descend", "all-nodes"):
        answer = HardFFF(weights, routing)(pixels(3))
        assert answer.leaf.tolist() == [7, 7, 7]
        assert answer.path_margin.tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", ["descend", "all-nodes", "grouped"])
def test_rows_do_not_influence_one_another(form: str) -> None:
    model = HardFFF(random_weights(4, 3, 2), "all-nodes" if form == "all-nodes" else "descend")
    run = model.grouped if form == "grouped" else model
    x = pixels(30)
    whole = run(x)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    _same(run(x[order]), Output(*(t[order] for t in whole)))
    split = [run(part) for part in x.split([1, 7, 22])]
    _same(Output(*(torch.cat(parts) for parts in zip(*split, strict=True))), whole)


def test_grouped_takes_an_empty_batch() -> None:
    answer = HardFFF(random_weights(2, 3)).grouped(torch.zeros(0, INPUTS))
    assert [tuple(t.shape) for t in answer] == [(0, OUTPUTS), (0,), (0,)]


def test_default_routing_evaluates_all_nodes_of_shallow_trees_only() -> None:
    assert [default_routing(d) for d in (0, 4, 12)] == ["all-nodes", "all-nodes", "descend"]


def test_a_tree_with_missing_nodes_is_refused() -> None:
    weights = random_weights(2, 3)
    with pytest.raises(ValueError, match="no whole binary tree"):
        HardFFF(weights._replace(node_weight=weights.node_weight[:2]))
    with pytest.raises(ValueError, match="no whole binary tree"):
        HardFFF(weights._replace(w1=weights.w1[:3]))


def _same(a: Output, b: Output) -> None:
    assert a.leaf.tolist() == b.leaf.tolist()
    np.testing.assert_allclose(a.logits, b.logits, atol=1e-5)
    np.testing.assert_allclose(a.path_margin, b.path_margin, atol=1e-6)

"""Pruning: which weights go, against a sort of all of them, and that they never come back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vision_nlp.acn.experiments import pruning
from vision_nlp.acn.experiments.lab import ACN, Lab
from vision_nlp.acn.experiments.learning import last, learn
from vision_nlp.acn.experiments.masks import Masks
from vision_nlp.acn.wiring import AutoCompressing


def flat(model: AutoCompressing) -> np.ndarray:
    linear = [m.weight.detach().flatten() for m in model.blocks.modules() if isinstance(m, nn.Linear)]
    return torch.cat(linear).numpy()


@given(st.floats(0.0, 0.99))
def test_the_smallest_weights_of_all_blocks_go(lab: Lab, share: float) -> None:
    model = lab.fresh(ACN, 0)
    before, rest = flat(model).copy(), {n: v.clone() for n, v in model.state_dict().items() if "blocks" not in n}
    masks = Masks(model, "magnitude")
    masks.prune(share)
    gone = round(share * len(before))
    expected = before.copy()
    expected[np.argsort(np.abs(before), kind="stable")[:gone]] = 0
    np.testing.assert_array_equal(flat(model), expected)
    assert masks.sparsity() == pytest.approx(gone / len(before))
    assert all(torch.equal(v, model.state_dict()[n]) for n, v in rest.items())


def test_each_step_takes_its_share_of_what_is_left(lab: Lab) -> None:
    masks = Masks(lab.fresh(ACN, 0), "magnitude")
    for steps in (1, 2, 3):
        masks.prune(0.4)
        assert masks.sparsity() == pytest.approx(1 - 0.6**steps, abs=1e-3)


def test_what_is_gone_stays_gone_while_the_rest_is_tuned(lab: Lab) -> None:
    model = lab.fresh(ACN, 0)
    masks = Masks(model, "magnitude")
    masks.prune(0.5)
    before = flat(model).copy()
    learn(model, last(model), lab.splits(0).train, 1, 0, hooks=masks.hooks)
    after = flat(model)
    assert np.all(after[before == 0] == 0)
    assert np.mean(after[before != 0] != before[before != 0]) > 0.9


def test_movement_scores_are_sums_of_weight_times_gradient(lab: Lab) -> None:
    model = lab.fresh(ACN, 0)
    linear = [m.weight for m in model.blocks.modules() if isinstance(m, nn.Linear)]
    masks = Masks(model, "movement")
    scores = np.zeros(len(flat(model)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for weight in linear:
            weight.grad = torch.randn(weight.shape, generator=generator)
        scores += np.abs(flat(model) * torch.cat([w.grad.flatten() for w in linear if w.grad is not None]).numpy())
        masks.hooks.gradients()
        with torch.no_grad():
            for weight in linear:
                weight += 0.1
        masks.hooks.stepped()
    before = flat(model).copy()
    masks.prune(0.3)
    gone = np.argsort(scores)[: round(0.3 * len(scores))]
    expected = before.copy()
    expected[gone] = 0
    np.testing.assert_array_equal(flat(model), expected)


def test_the_curve_starts_with_nothing_gone_and_the_trained_network_is_left_alone(lab: Lab) -> None:
    before = flat(lab.trained(ACN, 0).model).copy()
    values = pruning.conditions(lab)[ACN](0)
    np.testing.assert_array_equal(flat(lab.trained(ACN, 0).model), before)
    for score, each in pruning.STEPS:
        curve = [values[pruning.stepwise(score, each, steps)] for steps in range(lab.scale.tune + 1)]
        assert values[pruning.mean(score, each)] == pytest.approx(np.mean(curve[1:]))
    assert pruning.stepwise("movement", 0.4, 2) == "movement 40% each, 64% gone"

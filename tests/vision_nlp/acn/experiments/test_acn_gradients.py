"""Gradient norms of blocks against backward, and the direct share against the definition."""

import numpy as np
import pytest
import torch

from vision_nlp.acn.experiments import gradients
from vision_nlp.acn.experiments.gradients import block_norms, direct_shares
from vision_nlp.acn.experiments.lab import ACN, DIRECT, FFN, Lab
from vision_nlp.acn.experiments.learning import last
from vision_nlp.pictures import Rows


def test_norms_are_those_of_backward(lab: Lab) -> None:
    model, rows = lab.fresh(ACN, 0), Rows(*(part[:32] for part in lab.splits(0).train))
    last(model)(rows.x, rows.y).backward()
    expected = [
        float(sum(float(p.grad.square().sum()) for p in block.parameters() if p.grad is not None)) ** 0.5
        for block in model.blocks
    ]
    assert block_norms(model, rows) == pytest.approx(expected, rel=1e-5)


def test_the_last_block_has_a_direct_gradient_only(lab: Lab) -> None:
    rows = Rows(*(part[:32] for part in lab.splits(0).train))
    shares = direct_shares(lab.fresh(ACN, 0), lab.fresh(DIRECT, 0), rows)
    assert shares[-1] == pytest.approx(1.0)
    assert all(0 < share < 1 for share in shares[:-1])


def test_without_the_sum_nothing_but_the_last_block_is_reached_directly(lab: Lab) -> None:
    """Scaling the last block's output to nothing starves the blocks before it of an FFN, not of an ACN."""
    rows = Rows(*(part[:32] for part in lab.splits(0).train))
    starved = []
    for kind in (ACN, FFN):
        model = lab.fresh(kind, 0)
        with torch.no_grad():
            model.blocks[-1].tail_norm.weight.zero_()
        starved.append(block_norms(model, rows)[0])
    assert starved[0] > 0
    assert starved[1] == 0.0


def test_the_figure_is_in_doublings(lab: Lab) -> None:
    values = gradients.conditions(lab)[ACN](0)
    assert values["first over last, log2"] == pytest.approx(np.log2(values["block 1"] / values["block 3"]))
    assert values["direct at step 0, block 3"] == pytest.approx(1.0)

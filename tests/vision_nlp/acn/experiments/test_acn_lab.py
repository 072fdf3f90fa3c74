"""Networks of a study: trained once, limited, and cut on validation rows alone."""

from functools import partial

import pytest
import torch

from vision_nlp.acn.experiments.lab import ACN, KINDS, RESIDUAL, Lab, cut_of
from vision_nlp.acn.experiments.layers import reached
from vision_nlp.acn.experiments.learning import right
from vision_nlp.acn.experiments.pictures import subset
from vision_nlp.pictures import Rows


def test_a_network_is_trained_once_for_a_seed_and_a_depth(lab: Lab) -> None:
    assert lab.trained(ACN, 0) is lab.trained(ACN, 0, lab.scale.layers)
    assert lab.trained(ACN, 0, 1).model.depth == 1
    assert len(lab.trained(ACN, 0).learnt.history) == lab.scale.epochs


def test_kinds_are_wired_as_they_are_called(lab: Lab) -> None:
    for kind, (mode, tail) in KINDS.items():
        model = lab.fresh(kind, 0)
        assert (model.mode, model.blocks[0].tail is not None) == (mode, tail)
        assert model.blocks[0].skips == (mode in ("residual", "denseformer"))
        assert model.embed.tokens == 17


def test_the_cut_is_chosen_on_validation_rows_alone(lab: Lab) -> None:
    model, validation = lab.trained(RESIDUAL, 0).model, lab.splits(0).validation
    counts = right(model, validation).sum(1)
    least = counts[-1] - 0.005 * len(validation.y)
    assert lab.cut(RESIDUAL, 0) == next(k for k in range(1, 4) if counts[k] >= least)


def test_a_cut_keeps_at_least_one_block_even_if_none_is_needed(lab: Lab) -> None:
    model, rows = lab.fresh(ACN, 0), lab.splits(0).validation
    with torch.no_grad():
        model.head.weight.zero_()  # every sub-network says the same
    assert cut_of(model, Rows(rows.x, rows.y)) == 1


def test_a_limited_lab_draws_the_same_rows(lab: Lab) -> None:
    part = lab.limited(partial(subset, classes=(4, 5, 6)), 3)
    chosen = torch.isin(lab.splits(1).train.y, torch.tensor([4, 5, 6]))
    assert torch.equal(part.splits(1).train.x, lab.splits(1).train.x[chosen])
    assert (part.classes(1), lab.classes(1)) == (3, 10)
    assert part.scale == lab.scale._replace(epochs=3 * lab.scale.epochs)
    assert part.fresh(ACN, 0)(part.splits(1).test.x[:2]).shape == (2, 3)


@pytest.mark.parametrize(
    ("history", "epoch"),
    [((0.5,), 1), ((0.1, 0.9, 0.8), 2), ((0.2, 0.896, 0.9), 2), ((0.2, 0.894, 0.9), 3), ((0.9, 0.9, 0.9), 1)],
)
def test_epochs_to_half_a_point_below_the_best(history: tuple[float, ...], epoch: int) -> None:
    assert reached(history) == epoch

"""Early exit: operations by formula, leaving by hand, branches."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vision_nlp.acn.experiments import early_exit
from vision_nlp.acn.experiments.branches import Branched
from vision_nlp.acn.experiments.early_exit import BRANCHES, SHARED, Exits, Price, Told, name, price
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, Lab
from vision_nlp.acn.experiments.learning import SMOOTHING, accuracy


@pytest.mark.parametrize(("kind", "tail"), [(ACN, 1), (CLEAN, 0)])
def test_operations_are_two_for_each_weight_and_use(lab: Lab, kind: str, tail: int) -> None:
    width, tokens = lab.scale.width, 17
    embedding = 2 * 16 * 4 * width  # 16 patches of 2 x 2
    over_tokens = 2 * width * (2 * tokens * (width // 2))
    over_channels = 2 * tokens * (2 * width * 4 * width)
    block = over_tokens + over_channels + tail * 2 * tokens * width**2
    found = price(lab.fresh(kind, 0), lab.splits(0).test.x[:1], 10 * width)
    assert found == Price(embedding, block, 2 * width * 10)
    assert found.of(2.5, 3) == embedding + 2.5 * block + 3 * 20 * width


LOGITS = np.log(np.array([[[0.9, 0.1], [0.5, 0.5], [0.4, 0.6]], [[0.2, 0.8], [0.99, 0.01], [0.5, 0.5]]]))
"""Two exits, three rows: entropies 0.33, 0.69, 0.67 and then 0.50, 0.06, 0.69 nats."""


def test_rows_leave_at_the_first_exit_below_the_entropy(lab: Lab) -> None:
    exits, told = Exits(lab), Told((1, 3), LOGITS.astype(np.float32), np.array([0, 0, 1]))
    reached, depth, speed = exits.leaving(ACN, told, 0.4)
    # Row 0 leaves at block 1 and is right; the others run through: row 1 is right, row 2 answers 0 and is wrong.
    assert (reached, depth) == (pytest.approx(2 / 3), pytest.approx(7 / 3))
    own, whole = exits.price(ACN), exits.price(RESIDUAL).of(3, 1)
    assert speed == pytest.approx(whole / own.of(7 / 3, 5 / 3))
    assert exits.leaving(ACN, told, 0.0)[1] == 3.0
    assert exits.leaving(ACN, told, 9.0)[:2] == (1.0, 1.0)  # equal logits answer class 0


def test_the_whole_plain_residual_network_has_speed_one(lab: Lab) -> None:
    values = early_exit.conditions(lab)[early_exit.WHOLE](0)
    assert values["speed-up"] == pytest.approx(1.0)
    assert values["accuracy"] == accuracy(lab.trained(RESIDUAL, 0).model, lab.splits(0).test)


def test_branches_are_at_the_quarters_and_the_last_exit_is_the_network(lab: Lab) -> None:
    assert Branched.places(16) == {4: 0.8, 8: 0.6, 12: 0.4}
    branched = Branched(lab.fresh(ACN, 0), lab.scale.width, 10)
    x, y = lab.splits(0).test.x[:9], lab.splits(0).test.y[:9]
    told = branched(x).detach()
    assert torch.equal(told[-1], branched.net(x))
    assert len(told) == len(branched.exits) == len(branched.weights)
    losses = [float(F.cross_entropy(z, y, label_smoothing=SMOOTHING)) for z in told]
    expected = sum(w * v for w, v in zip(branched.weights, losses, strict=True))
    assert float(branched.loss(x, y).detach()) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(branched.answers(lab.splits(0).test)[:, :9], told.numpy(), atol=1e-5)


def test_a_branch_reads_the_sum_of_its_depth(lab: Lab) -> None:
    branched = Branched(lab.fresh(ACN, 0), lab.scale.width, 10)
    x = lab.splits(0).test.x[:5]
    for number, depth in enumerate(branched.exits[:-1]):
        state = branched.net.run(x, upto=depth)
        assert torch.allclose(branched(x)[number], branched.branches[number](state.y[:, 0]), atol=1e-6)


def test_the_control_is_as_deep_as_the_mean_of_the_exits(lab: Lab) -> None:
    conditions = early_exit.conditions(lab)
    mean, static = conditions[name(ACN, SHARED)](0)["mean depth"], conditions[early_exit.STATIC](0)["mean depth"]
    assert 0 <= static - mean < 1
    assert name(ACN, BRANCHES) in conditions

"""The rival in the bench computes what ours does: loss and gradients."""

import pytest
import torch

from vision_nlp.fff.config import Model, Phase
from vision_nlp.fff.looped import looped_loss
from vision_nlp.fff.model import FFF
from vision_nlp.fff.train import soft_step
from vision_nlp.pictures import Rows


@pytest.mark.parametrize(("depth", "leaf", "master"), [(0, 3, 2), (1, 2, 0), (4, 1, 3)])
def test_the_looped_form_has_our_loss_and_gradients(depth: int, leaf: int, master: int) -> None:
    torch.manual_seed(depth)
    ours, looped = (FFF(6, 4, Model(depth=depth, leaf_width=leaf, master_width=master)) for _ in range(2))
    looped.load_state_dict(ours.state_dict())
    rows = Rows(3 * torch.randn(11, 6), torch.randint(4, (11,)))
    loss = soft_step(ours, rows, Phase(epochs=1, harden=0.7, balance=1.3), torch.arange(11))["loss"]
    other = looped_loss(looped, rows.x, rows.y, 0.7, 1.3)
    torch.testing.assert_close(other, loss)
    loss.backward()
    other.backward()
    for (name, a), b in zip(ours.named_parameters(), looped.parameters(), strict=True):
        if a.numel():
            torch.testing.assert_close(b.grad, a.grad, msg=name)

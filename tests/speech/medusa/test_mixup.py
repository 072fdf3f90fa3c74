"""Manifold MixUp (sections 2.4, 4.4, 10.5)."""

import numpy as np
import torch
from scipy import stats

from speech.medusa.config import MixUp
from speech.medusa.mixup import Mix, draw

CPU = torch.device("cpu")


def test_a_whole_share_leaves_vectors_and_labels_untouched() -> None:
    torch.manual_seed(0)
    values = torch.randn(5, 4)
    values[3] = float("nan")
    mixed = Mix(torch.ones(5), torch.tensor([3, 4, 0, 1, 2])).apply(values)
    assert torch.equal(mixed.nan_to_num(), values.nan_to_num())
    assert bool(mixed[:3].isfinite().all())


def test_mixed_labels_still_sum_to_one_and_attributes_keep_to_their_scale() -> None:
    torch.manual_seed(0)
    mix = draw(400, MixUp(p=1.0), CPU)
    assert mix is not None
    targets = torch.rand(400, 8)
    targets /= targets.sum(1, keepdim=True)
    torch.testing.assert_close(mix.apply(targets).sum(1), torch.ones(400))
    attributes = mix.apply(1 + 6 * torch.rand(400, 3))
    assert 1 <= float(attributes.min()) <= float(attributes.max()) <= 7


def test_by_value() -> None:
    mix = Mix(torch.tensor([0.25, 0.5]), torch.tensor([1, 0]))
    assert mix.apply(torch.tensor([[4.0], [8.0]])).tolist() == [[7.0], [6.0]]


def test_three_batches_in_ten_are_mixed() -> None:
    torch.manual_seed(1)
    mixed = sum(draw(4, MixUp(p=0.3), CPU) is not None for _ in range(2_000))
    assert 0.27 <= mixed / 2_000 <= 0.33
    assert all(draw(4, MixUp(p=0.0), CPU) is None for _ in range(100))


def test_every_sample_has_a_share_of_its_own_from_the_beta_distribution() -> None:
    torch.manual_seed(2)
    mix = draw(4_000, MixUp(p=1.0, alpha=0.2), CPU)
    assert mix is not None
    assert sorted(mix.partner.tolist()) == list(range(4_000))
    assert len(np.unique(mix.share.numpy())) > 2_000
    assert stats.kstest(mix.share.double().numpy(), stats.beta(0.2, 0.2).cdf).pvalue > 1e-4

"""Balanced subsets (sections 2.6, 4.6, 10.4)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speech.medusa.sampling import BalancedSampler

SIZES = (40, 30, 20, 12, 25, 15, 18, 60)
OTHERS = 50


def made(sizes: tuple[int, ...] = SIZES, others: int = OTHERS) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Soft targets, their labels, and who has a consensus: the last ``others`` rows have none."""
    labels = torch.tensor([c for c, n in enumerate(sizes) for _ in range(n)] + [i % len(sizes) for i in range(others)])
    targets = 0.6 * torch.nn.functional.one_hot(labels, len(sizes)).float() + 0.4 / len(sizes)
    return targets, labels, torch.arange(len(labels)) < sum(sizes)


def test_classes_are_equally_often_in_it_and_one_ninth_has_no_consensus() -> None:
    targets, labels, consensus = made()
    sampler = BalancedSampler(targets, consensus, 16, seed=0)
    for epoch in range(3):
        chosen = torch.cat(list(sampler.batches(epoch)))
        assert len(chosen.unique()) == len(chosen) == 9 * min(SIZES)
        agreed = chosen[consensus[chosen]]
        assert torch.bincount(labels[agreed]).tolist() == [min(SIZES)] * 8
        assert (len(chosen) - len(agreed)) * 9 == len(chosen)


def test_every_epoch_has_a_subset_of_its_own_and_a_seed_repeats_it() -> None:
    """Section 4.6: the published code draws the same subset every epoch."""
    targets, _, consensus = made()
    first, again, other = (BalancedSampler(targets, consensus, 16, seed) for seed in (1, 1, 2))
    assert torch.equal(first.subset(5), again.subset(5))
    assert set(first.subset(5).tolist()) != set(first.subset(6).tolist())
    assert set(first.subset(5).tolist()) != set(other.subset(5).tolist())
    seen = {row for epoch in range(60) for row in first.subset(epoch).tolist()}
    assert len(seen) > 0.95 * len(targets)


def test_the_global_generator_neither_moves_nor_matters() -> None:
    targets, _, consensus = made()
    sampler = BalancedSampler(targets, consensus, 16, 0)
    torch.manual_seed(3)
    state, before = torch.get_rng_state(), sampler.subset(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(sampler.subset(1), before)


def test_a_set_of_agreed_clips_alone_has_no_ninth_part() -> None:
    targets, labels, consensus = made(others=0)
    sampler = BalancedSampler(targets, consensus, 16, 0)
    assert torch.bincount(labels[sampler.subset(0)]).tolist() == [12] * 8


def test_fewer_open_clips_than_a_class_and_a_missing_class() -> None:
    targets, labels, consensus = made((5, 0, 8), 2)
    sampler = BalancedSampler(targets, consensus, 4, 0)
    chosen = sampler.subset(0)
    agreed = chosen[consensus[chosen]]
    assert torch.bincount(labels[agreed]).tolist() == [5, 0, 5]
    assert len(chosen) - len(agreed) == 2
    with pytest.raises(ValueError, match="no clip has a consensus"):
        BalancedSampler(targets, torch.zeros_like(consensus), 4, 0)


@given(st.integers(1, 200), st.integers(0, 20), st.integers(1, 3))
def test_a_resumed_epoch_goes_on_where_it_stood(batch: int, start: int, processes: int) -> None:
    targets, _, consensus = made()
    sampler = BalancedSampler(targets, consensus, batch, 0, processes)
    whole = list(sampler.batches(4))
    assert len(whole) == len(sampler)
    left = list(sampler.batches(4, start))
    assert [part.tolist() for part in left] == [part.tolist() for part in whole[start:]]
    assert all(len(part) >= min(processes, batch) for part in whole)

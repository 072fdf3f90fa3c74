"""The closed-set loss against binary cross-entropy over all label combinations, one by one."""

from fractions import Fraction
from itertools import combinations as choose

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from music_fewshot.lc_protonets.closed import closed_sets, membership, multiplicities
from music_fewshot.lc_protonets.losses import closed_set_loss, cosine, label_loss, prototypes, subsets, weights

LIMIT = 100_000
LABELS = 6

some_labels = st.integers(1, 2**LABELS - 1)
supports = st.lists(some_labels, min_size=1, max_size=7)
queries = st.lists(st.integers(0, 2 ** (LABELS + 1) - 1), min_size=1, max_size=4)  # one label that no support has


def all_combinations(label_sets: list[int]) -> list[int]:
    """Every non-empty subset of every label set, once."""
    found: dict[int, None] = {}
    for mask in label_sets:
        labels = [i for i in range(mask.bit_length()) if mask >> i & 1]
        for size in range(1, len(labels) + 1):
            found |= dict.fromkeys(sum(1 << i for i in chosen) for chosen in choose(labels, size))
    return list(found)


def exhaustive_loss(support: Tensor, query: Tensor, label_sets: list[int], query_sets: list[int]) -> Tensor:
    """The mean over all pairs, as section 1.5 writes it."""
    losses = []
    for c in all_combinations(label_sets):
        mean = torch.stack([e for e, y in zip(support, label_sets, strict=True) if y & c == c]).mean(0)
        for q, y in zip(query, query_sets, strict=True):
            z = q @ mean / ((q.norm() + 1e-8) * (mean.norm() + 1e-8))
            target = torch.tensor(float(c & y == c), dtype=z.dtype)
            losses.append(F.binary_cross_entropy_with_logits(z, target))
    return torch.stack(losses).mean()


def fast_loss(support: Tensor, query: Tensor, label_sets: list[int], query_sets: list[int]) -> Tensor:
    sets = closed_sets(label_sets, LIMIT)
    member = torch.from_numpy(membership(sets, label_sets))
    return closed_set_loss(cosine(query, prototypes(support, member)), weights(sets, query_sets))


@settings(max_examples=60, deadline=None)
@given(label_sets=supports, query_sets=queries, seed=st.integers(0, 1000))
def test_loss_and_gradients_are_those_over_all_combinations(
    label_sets: list[int], query_sets: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    found = []
    for loss in (exhaustive_loss, fast_loss):
        rng = np.random.default_rng(seed)
        support, query = (
            torch.from_numpy(rng.standard_normal((n, 4))).requires_grad_() for n in (len(label_sets), len(query_sets))
        )
        value = loss(support, query, label_sets, query_sets)
        value.backward()
        found.append([value.detach(), support.grad, query.grad])
    for slow, fast in zip(*found, strict=True):
        torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(label_sets=supports, query_sets=queries)
def test_counts_are_those_of_a_census(label_sets: list[int], query_sets: list[int]) -> None:
    sets = closed_sets(label_sets, LIMIT)
    expected = np.zeros((len(query_sets), len(sets)), np.int64)
    for c in all_combinations(label_sets):
        closure = -1
        for y in label_sets:
            closure &= y if y & c == c else -1
        expected[:, sets.index(closure)] += [c & y == c for y in query_sets]
    np.testing.assert_array_equal(subsets(sets, query_sets), expected)
    everything = 2 ** (LABELS + 1) - 1
    assert tuple(map(int, subsets(sets, [everything])[0])) == multiplicities(sets)
    shares = weights(sets, query_sets)
    assert shares.positive.sum() + shares.negative.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("size", [52, 53, 54, 64, 70])
def test_counts_stay_exact_beyond_float64(size: int) -> None:
    """Two items that share all labels but one each; the query lacks one shared label."""
    shared = (1 << size - 1) - 1
    one, other = shared | 1 << size - 1, shared | 1 << size
    sets = closed_sets([one, other], LIMIT)
    query = one & ~1
    inside = {shared: 2 ** (size - 2) - 1, one: 2 ** (size - 1) - 2 ** (size - 2), other: 0}
    assert [int(n) for n in subsets(sets, [query])[0]] == [inside[mask] for mask in sets]
    total = 2 * (2**size - 1) - (2 ** (size - 1) - 1)
    assert sum(multiplicities(sets)) == total
    shares = weights(sets, [query]).positive[0]
    for share, mask in zip(shares, sets, strict=True):
        assert abs(Fraction(float(share)) - Fraction(inside[mask], total)) <= Fraction(inside[mask], total) / 2**52


def test_cosine_adds_its_epsilon_to_the_norm() -> None:
    q = torch.tensor([[3e-8, 4e-8], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    p = torch.tensor([[0.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    expected = [[8e-8 / (6e-8 * (2 + 1e-8)), 0], [0, 0], [0, 0]]
    torch.testing.assert_close(cosine(q, p), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_prototypes_are_plain_means() -> None:
    support = torch.tensor([[1.0, 0.0], [100.0, 2.0], [0.0, 4.0]])
    member = torch.tensor([[True, True, False], [False, False, True]])
    assert torch.equal(prototypes(support, member), torch.tensor([[50.5, 1.0], [0.0, 4.0]]))


def test_label_loss_is_the_mean_over_cells() -> None:
    logits = torch.tensor([[0.5, -1.0], [0.0, 2.0]], dtype=torch.float64)
    truth = torch.tensor([[True, False], [False, True]])
    cells = [np.log1p(np.exp(-0.5)), np.log1p(np.exp(-1.0)), np.log(2), np.log1p(np.exp(-2.0))]
    assert float(label_loss(logits, truth)) == pytest.approx(np.mean(cells), abs=1e-12)

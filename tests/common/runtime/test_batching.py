from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.runtime.base import Arrays
from common.runtime.batching import Layout, Size, choose, padded
from common.runtime.cost import CostModel, Load
from contracts.models import Limits
from contracts.tensors import Signature, Tensor

PAIRS = Signature(
    inputs=(
        Tensor(name="speech", dtype="float32", dims=("batch", "frames", 2), pad=7.0),
        Tensor(name="keep", dtype="bool", dims=("batch", "frames")),
        Tensor(name="text", dtype="int64", dims=("batch", "tokens"), pad=-1),
    ),
    outputs=(
        Tensor(name="total", dtype="float32", dims=("batch",)),
        Tensor(name="grid", dtype="float32", dims=("batch", "tokens", "frames")),
    ),
)
LAYOUT = Layout(PAIRS)


def run(request: Arrays) -> dict[str, np.ndarray]:
    """A graph in numpy that ignores padding by its mask and by the sign of the ids."""
    speech = np.where(request["keep"][..., None], request["speech"], 0).sum(axis=(1, 2))
    text = np.where(request["text"] >= 0, request["text"], 0)
    grid = text[:, :, None] * request["speech"][:, None, :, 0]
    return {"total": (speech + text.sum(axis=1)).astype(np.float32), "grid": grid.astype(np.float32)}


def request(rows: int, frames: int, tokens: int) -> Arrays:
    rng = np.random.default_rng(rows * 10_000 + frames * 100 + tokens)
    return {
        "speech": rng.integers(0, 9, (rows, frames, 2)).astype(np.float32),
        "keep": rng.random((rows, frames)) < 0.7,
        "text": rng.integers(0, 9, (rows, tokens)),
    }


SHAPES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=6)


@given(SHAPES)
def test_merged_and_split_equals_alone(shapes: list[tuple[int, int, int]]) -> None:
    requests = [request(*shape) for shape in shapes]
    sizes = [LAYOUT.size(each) for each in requests]
    answers = LAYOUT.split(run(LAYOUT.merge(requests, sizes)), sizes)
    for answer, each in zip(answers, requests, strict=True):
        alone = run(each)
        assert answer.keys() == alone.keys()
        for name in alone:
            np.testing.assert_array_equal(answer[name], alone[name], strict=True)


def test_sizes_and_padding_of_two_dynamic_dimensions() -> None:
    requests = [request(2, 3, 5), request(1, 4, 2)]
    sizes = [LAYOUT.size(each) for each in requests]
    assert sizes == [Size(2, (3, 5)), Size(1, (4, 2))]
    assert padded(sizes) == Size(3, (4, 5))
    assert padded(sizes).load == Load(3, 20)
    merged = LAYOUT.merge(requests, sizes)
    assert merged["speech"].shape == (3, 4, 2)
    assert (merged["speech"][:2, 3] == 7.0).all()
    assert not merged["keep"][:2, 3].any()
    assert merged["text"][2].tolist() == [*requests[1]["text"][0].tolist(), -1, -1, -1]
    assert {name: array.dtype for name, array in merged.items()} == {
        name: array.dtype for name, array in requests[0].items()
    }


def test_one_request_is_not_copied() -> None:
    alone = request(2, 3, 4)
    assert LAYOUT.merge([alone], [LAYOUT.size(alone)]) is alone


def model(fixed: float = 1.0, cell: float = 0.01) -> CostModel:
    learned = CostModel(64)
    for _ in range(50):
        for rows in (1, 4, 16, 64):
            for volume in (1, 10, 100):
                learned.observe(Load(rows, volume), fixed + cell * rows * volume)
    return learned


LIMITS = Limits(max_rows=6, max_cost=60)
LENGTHS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 20)), min_size=1, max_size=12)


def best_rate(sizes: Sequence[Size], costs: CostModel) -> float:
    """By trying every group of neighbours in length."""
    order = sorted(range(len(sizes)), key=lambda i: sizes[i].dynamic)
    groups = [order[a:b] for a in range(len(order)) for b in range(a + 1, len(order) + 1)]
    loads = {tuple(group): padded([sizes[i] for i in group]).load for group in groups if 0 in group}
    legal = {g: load for g, load in loads.items() if load.rows <= LIMITS.max_rows and load.cost <= LIMITS.max_cost}
    return max(sum(sizes[i].load.cost for i in group) / costs.seconds(load) for group, load in legal.items())


@settings(deadline=None)
@given(LENGTHS)
def test_chooses_the_best_group_around_the_oldest(shapes: list[tuple[int, int]]) -> None:
    sizes = [Size(rows, (length,)) for rows, length in shapes]
    costs = model()
    group = choose(sizes, costs, LIMITS)
    load = padded([sizes[i] for i in group]).load
    assert 0 in group
    assert len(set(group)) == len(group)
    assert load.rows <= LIMITS.max_rows
    assert load.cost <= LIMITS.max_cost
    rate = sum(sizes[i].load.cost for i in group) / costs.seconds(load)
    assert rate == pytest.approx(best_rate(sizes, costs), rel=1e-9)


def test_long_and_short_requests_do_not_share_when_padding_costs_more() -> None:
    sizes = [Size(1, (length,)) for length in (400, 20, 390, 25, 22)]
    limits = Limits(max_rows=8, max_cost=10_000)
    assert sorted(choose(sizes, model(fixed=0.3), limits)) == [0, 2]
    assert sorted(choose(sizes[1:], model(fixed=0.3), limits)) == [0, 2, 3]
    assert sorted(choose(sizes, model(fixed=1000.0), limits)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("rows", "taken"),
    [([1, 1, 1], [0, 1, 2]), ([4, 2, 1], [0, 1]), ([4, 3, 1], [0]), ([6, 6], [0]), ([1] * 9, [*range(6)])],
)
def test_without_dynamic_sizes_the_first_that_fit(rows: list[int], taken: list[int]) -> None:
    assert choose([Size(n, ()) for n in rows], CostModel(6), LIMITS) == taken

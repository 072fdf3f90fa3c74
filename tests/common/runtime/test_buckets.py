import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.runtime.batching import Layout, Size
from common.runtime.buckets import bucket, bucketed, pad
from contracts.models import Limits
from contracts.tensors import Signature, Tensor

RAGGED = Signature(
    inputs=(
        Tensor(name="ids", dtype="int64", dims=("batch", "tokens"), pad=7),
        Tensor(name="frames", dtype="float32", dims=("batch", "frames", 2), pad=-1.0),
        Tensor(name="lengths", dtype="int32", dims=("batch",)),
    ),
    outputs=(Tensor(name="echo", dtype="int64", dims=("batch", "tokens")),),
)


def request(rows: int, tokens: int, frames: int) -> dict[str, np.ndarray]:
    return {
        "ids": np.arange(rows * tokens).reshape(rows, tokens),
        "frames": np.ones((rows, frames, 2), np.float32),
        "lengths": np.full(rows, tokens, np.int32),
    }


@given(st.integers(1, 10**7))
def test_a_bucket_holds_the_size_and_at_most_half_of_the_size_again(size: int) -> None:
    assert size <= bucket(size) <= max(8, 1.5 * size)


def test_there_are_two_buckets_per_doubling() -> None:
    assert sorted({bucket(size) for size in range(1, 129)}) == [8, 12, 16, 24, 32, 48, 64, 96, 128]


@pytest.mark.parametrize(("max_cost", "expected"), [(4 * 24 * 12, (12, 24)), (4 * 24 * 12 - 1, (9, 20))])
def test_padding_never_exceeds_the_cost_limit(max_cost: int, expected: tuple[int, int]) -> None:
    assert bucketed(Size(4, (9, 20)), Limits(max_cost=max_cost)) == Size(4, expected)


def test_padding_fills_each_tensor_along_its_own_dimensions_with_its_own_value() -> None:
    layout, given_inputs = Layout(RAGGED), request(2, 20, 9)
    size = layout.size(given_inputs)
    padded = pad(RAGGED, layout.dims, given_inputs, size, bucketed(size, Limits()))
    assert padded["ids"].shape == (2, 24)
    assert padded["frames"].shape == (2, 12, 2)
    assert (padded["ids"][:, :20] == given_inputs["ids"]).all()
    assert (padded["ids"][:, 20:] == 7).all()
    assert (padded["frames"][:, :9] == 1).all()
    assert (padded["frames"][:, 9:] == -1).all()
    assert {name: array.dtype for name, array in padded.items()} == {n: a.dtype for n, a in given_inputs.items()}
    np.testing.assert_array_equal(padded["lengths"], given_inputs["lengths"])


def test_a_request_that_fits_its_bucket_is_sent_as_it_is() -> None:
    layout, given_inputs = Layout(RAGGED), request(1, 16, 8)
    size = layout.size(given_inputs)
    assert pad(RAGGED, layout.dims, given_inputs, size, bucketed(size, Limits())) is given_inputs

from typing import Any

import numpy as np
import pytest

from common.errors import Invalid
from common.runtime.tensors import check
from contracts.models import Limits
from contracts.tensors import Signature, Tensor

SPEECH = Signature(
    inputs=(
        Tensor(name="speech", dtype="float32", dims=("batch", "frames", 2)),
        Tensor(name="mask", dtype="bool", dims=("batch", "frames")),
    ),
    outputs=(Tensor(name="score", dtype="float32", dims=("batch",)),),
)
LIMITS = Limits(max_rows=4, max_cost=20)


def speech(rows: int = 2, frames: int = 3, **changed: Any) -> dict[str, np.ndarray]:
    return {"speech": np.zeros((rows, frames, 2), np.float32), "mask": np.ones((rows, frames), bool), **changed}


def test_rows_of_a_valid_request() -> None:
    assert check(SPEECH, speech(rows=4, frames=5), LIMITS) == 4


@pytest.mark.parametrize(
    ("inputs", "field", "says"),
    [
        (speech(rows=5, frames=1), "inputs", "at most 4 rows"),
        (speech(rows=3, frames=7), "inputs", "at most 20"),
        (speech(mask=np.ones((2, 3), np.uint8)), "inputs.mask.dtype", "must be bool, got uint8"),
        (speech(speech=np.zeros((2, 6), np.float32)), "inputs.speech.shape", "[batch, frames, 2], got [2, 6]"),
        (speech(speech=np.zeros((2, 3, 7), np.float32)), "inputs.speech.shape", "axis 2 must be 2, got 7"),
        (speech(mask=np.ones((1, 3), bool)), "inputs.mask.shape", "axis 0 must be 2 ('batch'"),
        (speech(mask=np.ones((2, 4), bool)), "inputs.mask.shape", "axis 1 must be 3 ('frames'"),
        (speech(speech=np.full((2, 3, 2), np.inf, np.float32)), "inputs.speech.data", "NaN or infinity"),
        (speech(speech=np.full((2, 3, 2), np.nan, np.float32)), "inputs.speech.data", "NaN or infinity"),
        (speech(extra=np.zeros(2)), "inputs.extra", "unknown"),
        ({"speech": np.zeros((2, 3, 2), np.float32)}, "inputs.mask", "missing; the graph takes bool [batch, frames]"),
    ],
)
def test_one_fault_is_named_where_it_is(inputs: dict[str, np.ndarray], field: str, says: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(SPEECH, inputs, LIMITS)
    assert [error.field for error in caught.value.errors] == [field]
    assert says in caught.value.errors[0].message
    assert field in caught.value.detail


def test_all_faults_are_told_at_once() -> None:
    bad = {"speech": np.full((2, 3, 3), np.nan, np.float32), "masc": np.ones((2, 3), bool)}
    with pytest.raises(Invalid) as caught:
        check(SPEECH, bad, LIMITS)
    fields = [error.field for error in caught.value.errors]
    assert fields == ["inputs.speech.data", "inputs.speech.shape", "inputs.mask", "inputs.masc"]


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_rows_and_no_frames_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(Invalid) as caught:
        check(SPEECH, speech(*shape), LIMITS)
    assert {error.message.partition("must be ")[2] for error in caught.value.errors} == {"at least 1, got 0"}


def test_large_finite_numbers_pass() -> None:
    largest = np.full((1, 2, 2), np.finfo(np.float32).max, np.float32)
    assert check(SPEECH, speech(1, 2, speech=largest), LIMITS) == 1

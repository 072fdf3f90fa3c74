"""Signatures refuse what no graph can have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tensors import OIP_NAME, Signature, Tensor
from contracts.vision_nlp import fff_signature


def test_the_batch_leads_every_tensor_and_stands_once() -> None:
    with pytest.raises(ValueError, match="dims start with 'batch'"):
        Tensor(name="x", dtype="float32", dims=(3,))
    with pytest.raises(ValueError, match="dims start with 'batch'"):
        Tensor(name="x", dtype="float32", dims=("batch", "batch"))


def test_names_are_unique_across_inputs_and_outputs() -> None:
    x = Tensor(name="x", dtype="float32", dims=("batch", 2))
    with pytest.raises(ValueError, match="repeat"):
        Signature(inputs=(x,), outputs=(x,))


def test_an_output_dimension_must_come_from_an_input() -> None:
    with pytest.raises(ValueError, match=r"\['frames'\] appear in no input"):
        Signature(
            inputs=(Tensor(name="x", dtype="float32", dims=("batch", 2)),),
            outputs=(Tensor(name="y", dtype="float32", dims=("batch", "frames")),),
        )


@given(st.integers(1, 5000), st.integers(1, 1000))
def test_the_fff_graph(pixels: int, classes: int) -> None:
    signature = fff_signature(pixels, classes)
    assert signature.inputs[0].dims == ("batch", pixels)
    assert [t.name for t in signature.outputs] == ["logits", "leaf", "path_margin"]
    assert signature.outputs[0].dims == ("batch", classes)
    assert signature.dynamic == frozenset()


def test_protocol_names_match_tritonclients() -> None:
    utils = pytest.importorskip("tritonclient.utils", reason="tritonclient is in the serve extra")
    import numpy as np

    assert {d: utils.np_to_triton_dtype(np.dtype(d)) for d in OIP_NAME} == OIP_NAME

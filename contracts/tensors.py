"""What goes in and out of a model graph: names, dtypes, named dimensions.

From one ``Signature`` follow the ONNX input and output names, ``config.pbtxt``, the ``/v2`` metadata, the validation of
tensors on ``/v2`` and what the batcher may pad.
"""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Record

DType = Literal["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool"]
"""numpy's name of an element type."""

OIP_NAME: dict[DType, str] = {
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "int8": "INT8",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}
"""The Open Inference Protocol's name of each dtype; Triton's ``config.pbtxt`` says ``TYPE_`` before it."""

BATCH = "batch"
"""The leading dimension of every tensor of every graph: rows that do not influence one another."""

Dim = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")] | Annotated[int, Meta(ge=1)]
"""A fixed size, or the name of a dynamic one; equal names are equal sizes within one request."""


class Tensor(Record, frozen=True, kw_only=True):
    """One input or output of a graph. ``dims[0]`` is always ``"batch"``."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
    dtype: DType
    dims: Annotated[tuple[Dim, ...], Meta(min_length=1)]
    pad: float = 0.0
    """The value that fills a dynamic dimension when rows of different length share a batch."""

    def __post_init__(self) -> None:
        if self.dims[0] != BATCH or BATCH in self.dims[1:]:
            raise ValueError(f"tensor {self.name!r}: dims start with 'batch' and name it once, got {self.dims}")


class Signature(Record, frozen=True, kw_only=True):
    """All inputs and outputs of a graph, in the graph's order.

    A graph with a dynamic dimension besides ``batch`` must take the true lengths or a mask among its inputs, so that a
    padded row answers as it would alone: batching is invisible.
    """

    inputs: Annotated[tuple[Tensor, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[Tensor, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        names = [t.name for t in (*self.inputs, *self.outputs)]
        if len(set(names)) != len(names):
            raise ValueError(f"tensor names repeat in the signature: {names}")
        unknown = {d for t in self.outputs for d in t.dims if isinstance(d, str)} - self.dynamic - {BATCH}
        if unknown:
            raise ValueError(f"output dimensions {sorted(unknown)} appear in no input: their size would be unknown")

    @property
    def dynamic(self) -> frozenset[str]:
        """Named input dimensions besides the batch."""
        return frozenset(d for t in self.inputs for d in t.dims[1:] if isinstance(d, str))

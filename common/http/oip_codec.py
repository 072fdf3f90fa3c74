"""Bodies of the Open Inference Protocol to arrays and back: JSON tensors, and the binary tensor extension."""

from math import prod
from typing import Any, NamedTuple

import msgspec
import numpy as np

from common.errors import Malformed, Rejected, Unsupported
from common.runtime.tensors import DTYPES
from contracts.oip import InferInput, InferOutput, InferRequest, InferResponse, RequestedOutput
from contracts.tensors import OIP_NAME

DTYPE_OF = {oip: DTYPES[name] for name, oip in OIP_NAME.items()}
NAME_OF = {dtype: oip for oip, dtype in DTYPE_OF.items()}
HEADER_LENGTH = b"inference-header-content-length"
_KINDS = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}
"""numpy kinds of JSON values that each kind of tensor takes without loss of meaning."""
_UNSUPPORTED = ("classification", "shared_memory_region")

_decoder = msgspec.json.Decoder(InferRequest)
_encode = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """A body and, when binary tensors follow its JSON, the length of that JSON."""

    body: bytes
    json_length: int | None


def decode(body: bytes, header_length: bytes | None) -> tuple[InferRequest, dict[str, np.ndarray]]:
    """The request and its tensors by name. Binary tensors are views of ``body`` where their alignment allows.

    Raises Malformed or Rejected, naming the tensor; names, dtypes and shapes are not yet compared with a model.
    """
    if not body:
        raise Malformed("the body is empty; send an inference request as JSON, with binary tensors behind it")
    end = len(body) if header_length is None else _length(header_length, len(body))
    try:
        request = _decoder.decode(memoryview(body)[:end] if end < len(body) else body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # a ValidationError is a DecodeError
        raise Malformed(f"the inference request cannot be read: {error}") from None
    arrays: dict[str, np.ndarray] = {}
    for tensor in request.inputs:
        if tensor.name in arrays:
            raise Malformed(f"input {tensor.name!r} is given more than once")
        dtype = DTYPE_OF.get(tensor.datatype)
        if dtype is None:
            raise Rejected(
                f"input {tensor.name!r}: datatype {tensor.datatype!r} is not taken; known: {', '.join(DTYPE_OF)}"
            )
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            arrays[tensor.name] = _from_json(tensor, dtype)
        else:
            arrays[tensor.name] = _from_binary(tensor, dtype, body, end, size)
            end += int(size)
    if end != len(body):
        raise Malformed(f"{len(body) - end} bytes follow the last tensor; check binary_data_size and the header length")
    return request, arrays


def _length(header: bytes, most: int) -> int:
    if not header.isdigit() or len(header) > 15 or int(header) > most:
        stated = header.decode("latin-1")
        raise Malformed(f"Inference-Header-Content-Length is {stated!r}, the body has {most} bytes")
    return int(header)


def _from_binary(tensor: InferInput, dtype: np.dtype, body: bytes, start: int, size: object) -> np.ndarray:
    count = prod(tensor.shape)
    if tensor.data is not None:
        raise Malformed(f"input {tensor.name!r} has both data and binary_data_size; send one")
    if type(size) is not int or size != count * dtype.itemsize:
        raise Malformed(
            f"input {tensor.name!r}: binary_data_size is {size!r}, but {tensor.datatype} {list(tensor.shape)} "
            f"has {count * dtype.itemsize} bytes"
        )
    if start + size > len(body):
        raise Malformed(f"input {tensor.name!r}: {size} bytes stated, {len(body) - start} bytes left in the body")
    array = np.frombuffer(body, dtype, count, start).reshape(tensor.shape)
    if dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise Malformed(f"input {tensor.name!r}: a byte of a BOOL tensor is neither 0 nor 1")
    # The JSON before it may have any length: ONNX Runtime wants its elements aligned.
    return array if array.flags.aligned else array.copy()


def _from_json(tensor: InferInput, dtype: np.dtype) -> np.ndarray:
    if tensor.data is None:
        raise Malformed(f"input {tensor.name!r} has neither data nor binary_data_size")
    try:
        values = np.asarray(tensor.data)
    except ValueError:
        raise Malformed(f"input {tensor.name!r}: data is nested unevenly") from None
    if values.size == 0:
        values = values.astype(dtype)
    if values.dtype.kind not in _KINDS[dtype.kind]:
        raise Malformed(f"input {tensor.name!r}: data holds values that are no {tensor.datatype}")
    if values.size != prod(tensor.shape) or (values.ndim > 1 and values.shape != tensor.shape):
        raise Malformed(f"input {tensor.name!r}: shape is {list(tensor.shape)}, data has {list(values.shape)}")
    if dtype.kind in "iu" and values.size:
        limits = np.iinfo(dtype)
        if int(values.min()) < limits.min or int(values.max()) > limits.max:
            raise Malformed(f"input {tensor.name!r}: a value lies outside {tensor.datatype}")
    with np.errstate(over="ignore"):  # becomes infinity, which the signature's check refuses by name
        return values.astype(dtype).reshape(tensor.shape)


def encode(request: InferRequest, outputs: dict[str, np.ndarray], name: str, version: int) -> Answer:
    """The answer with the requested outputs, which ``check_outputs`` passed, each as JSON or binary."""
    wanted = request.outputs or tuple(RequestedOutput(name=n) for n in outputs)
    default = bool(request.parameters.get("binary_data_output", False))
    described: list[InferOutput] = []
    tails: list[Any] = []
    for output in wanted:
        array = np.ascontiguousarray(outputs[output.name])
        datatype = NAME_OF[array.dtype]
        if output.parameters.get("binary_data", default):
            parameters = {"binary_data_size": array.nbytes}
            described.append(InferOutput(name=output.name, datatype=datatype, shape=array.shape, parameters=parameters))
            tails.append(array.data if array.size else b"")
        else:
            data = array.ravel().tolist()
            described.append(InferOutput(name=output.name, datatype=datatype, shape=array.shape, data=data))
    head = _encode(InferResponse(model_name=name, model_version=str(version), id=request.id, outputs=tuple(described)))
    return Answer(b"".join((head, *tails)), len(head)) if tails else Answer(head, None)


def check_outputs(request: InferRequest, known: tuple[str, ...]) -> None:
    """Refuse unknown, repeated and unsupported requested outputs before anything is computed."""
    seen: set[str] = set()
    for output in request.outputs:
        if output.name not in known:
            raise Rejected(f"output {output.name!r} is unknown; the model has {', '.join(known)}")
        if output.name in seen:
            raise Rejected(f"output {output.name!r} is requested more than once")
        seen.add(output.name)
        for parameter in _UNSUPPORTED:
            if parameter in output.parameters:
                raise Unsupported(f"output {output.name!r}: parameter {parameter!r} is not supported")

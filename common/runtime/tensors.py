"""Checks a request's tensors against a graph's signature, before anything is computed."""

from collections.abc import Mapping
from math import prod

import numpy as np

from common.errors import Invalid
from common.runtime.base import Arrays
from contracts.models import Limits
from contracts.problem import FieldError
from contracts.tensors import BATCH, OIP_NAME, DType, Signature, Tensor

DTYPES: Mapping[DType, np.dtype] = {name: np.dtype(name) for name in OIP_NAME}


def check(signature: Signature, inputs: Arrays, limits: Limits) -> int:
    """The number of rows of a request whose tensors fit the signature and the limits.

    Raises Invalid with one FieldError for everything that is wrong (``inputs.pixels.shape``): unknown and missing
    tensors, dtype, rank, fixed sizes, sizes that differ where the signature names one dimension, NaN and infinity,
    more rows or a higher cost (rows times the dynamic sizes) than one execution may have.
    """
    errors: list[FieldError] = []
    sizes: dict[str, int] = {}
    for tensor in signature.inputs:
        array = inputs.get(tensor.name)
        if array is None:
            errors.append(_error(tensor.name, "", f"is missing; the graph takes {_wanted(tensor)}"))
            continue
        if array.dtype != DTYPES[tensor.dtype]:
            errors.append(_error(tensor.name, ".dtype", f"must be {tensor.dtype}, got {array.dtype}"))
        elif array.dtype.kind == "f" and not np.logical_and.reduce(np.isfinite(array), axis=None):
            errors.append(_error(tensor.name, ".data", "holds NaN or infinity"))
        _measure(tensor, array.shape, sizes, errors)
    if len(inputs) + len(errors) > len(signature.inputs):
        known = {tensor.name for tensor in signature.inputs}
        errors += [_error(n, "", f"is unknown; the graph takes {', '.join(known)}") for n in inputs if n not in known]
    if errors:
        raise _invalid(errors)
    rows = sizes[BATCH]
    cost = prod(sizes.values())
    if rows > limits.max_rows or cost > limits.max_cost:
        raise _invalid(_excess(rows, cost, limits))
    return rows


def _measure(tensor: Tensor, shape: tuple[int, ...], sizes: dict[str, int], errors: list[FieldError]) -> None:
    """Compare a shape with the named dims; ``sizes`` collects what each named dimension turned out to be."""
    if len(shape) != len(tensor.dims):
        errors.append(_error(tensor.name, ".shape", f"must have the dims {_wanted(tensor)}, got {list(shape)}"))
        return
    for axis, (dim, size) in enumerate(zip(tensor.dims, shape, strict=True)):
        wanted = dim if isinstance(dim, int) else sizes.setdefault(dim, size)
        if size != wanted:
            name = "" if isinstance(dim, int) else f" ({dim!r} as in the tensors before)"
            errors.append(_error(tensor.name, ".shape", f"axis {axis} must be {wanted}{name}, got {size}"))
        elif size == 0:
            errors.append(_error(tensor.name, ".shape", f"axis {axis} ({dim!r}) must be at least 1, got 0"))


def _excess(rows: int, cost: int, limits: Limits) -> list[FieldError]:
    errors: list[FieldError] = []
    if rows > limits.max_rows:
        errors.append(FieldError(field="inputs", message=f"at most {limits.max_rows} rows in one request, got {rows}"))
    if cost > limits.max_cost:
        message = f"rows times dynamic sizes must be at most {limits.max_cost} in one request, got {cost}"
        errors.append(FieldError(field="inputs", message=message))
    return errors


def _wanted(tensor: Tensor) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.dims))}]"


def _error(name: str, part: str, message: str) -> FieldError:
    return FieldError(field=f"inputs.{name}{part}", message=message)


def _invalid(errors: list[FieldError]) -> Invalid:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Invalid(f"{errors[0].field}: {errors[0].message}{more}", errors=tuple(errors))

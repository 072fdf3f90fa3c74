"""Golden tensors: inputs, and the outputs that the exporter saw for them."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.errors import OperatorError
from contracts.tensors import Signature

INPUT, OUTPUT = "in.", "out."
REMEDY = "export and publish the model again"
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    AttributeError,
    NotImplementedError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy raises for broken files: it lets the errors of the zip reader and of the header parser through."""


def write_golden(path: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
    """Write an uncompressed ``.npz`` with the keys ``in.<name>`` and ``out.<name>``.

    Equal arrays give equal bytes: numpy stamps every member with the same date.
    """
    arrays = {INPUT + name: array for name, array in inputs.items()}
    arrays |= {OUTPUT + name: array for name, array in outputs.items()}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_golden(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and outputs by tensor name.

    Raises OperatorError when the file is missing, is no ``.npz``, holds Python objects or a key of neither kind.
    """
    inputs: dict[str, np.ndarray] = {}
    outputs: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            for key in file.files:
                kind, _, name = key.partition(".")
                {"in": inputs, "out": outputs}[kind][name] = file[key]
    except FileNotFoundError:
        raise OperatorError(f"{path} is missing; {REMEDY}") from None
    except KeyError as error:
        raise OperatorError(f"{path}: key {error} is neither in.<name> nor out.<name>; {REMEDY}") from None
    except UNREADABLE as error:
        raise OperatorError(f"{path} cannot be read as .npz ({error}); {REMEDY}") from error
    return inputs, outputs


def check_golden(signature: Signature, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
    """Raises OperatorError unless the tensors are the signature's: names, dtypes, dims; equal names, equal sizes."""
    sizes: dict[str, int] = {}
    for kind, tensors, arrays in ((INPUT, signature.inputs, inputs), (OUTPUT, signature.outputs, outputs)):
        names = {tensor.name for tensor in tensors}
        if names != arrays.keys():
            raise OperatorError(f"golden: {kind}* are {sorted(arrays)}, the signature has {sorted(names)}; {REMEDY}")
        for tensor in tensors:
            array = arrays[tensor.name]
            fits = array.ndim == len(tensor.dims) and array.dtype == np.dtype(tensor.dtype)
            pairs = zip(tensor.dims, array.shape, strict=True) if fits else ()
            fits = fits and all(n == (d if isinstance(d, int) else sizes.setdefault(d, n)) for d, n in pairs)
            if not fits:
                wanted = f"{tensor.dtype} {list(tensor.dims)}"
                raise OperatorError(
                    f"golden: {kind}{tensor.name} is {array.dtype} {list(array.shape)} instead of {wanted}; {REMEDY}"
                )

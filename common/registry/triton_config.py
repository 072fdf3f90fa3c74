"""``config.pbtxt`` from a signature: what Triton has to know about a model.

Written as plain text, so that the registry, and with it the serving process, needs no protobuf; a test parses it with
tritonclient's own message class and compares by value.
"""

import re
from itertools import zip_longest
from pathlib import Path

from common.errors import OperatorError
from common.registry.cards import write_whole
from contracts.models import Limits, ModelCard
from contracts.tensors import OIP_NAME, Signature, Tensor

REMEDY = "publish the model again, which writes the file anew"


def config_text(name: str, signature: Signature, limits: Limits) -> str:
    """The whole ``config.pbtxt`` of a model.

    - Every version is loaded (``all``): an alias may hold any of them, and with ``latest`` a publication would unload
      the version that serves. Requests always name their version. A version is retired by removing its folder.
    - ``dynamic_batching`` without delay or queue policy: a delay is paid by a lone request, and a queue policy stalls
      some servers. Admission is the API's work.
    - ``KIND_AUTO`` takes a GPU where there is one.
    - One thread an execution: servers with many models on few cores do not fight over them.
    """
    return "\n".join(
        [
            f'name: "{name}"',
            'backend: "onnxruntime"',
            f"max_batch_size: {limits.max_rows}",
            *(_tensor("input", tensor) for tensor in signature.inputs),
            *(_tensor("output", tensor) for tensor in signature.outputs),
            "version_policy { all { } }",
            "instance_group [ { kind: KIND_AUTO count: 1 } ]",
            "dynamic_batching { }",
            'parameters { key: "intra_op_thread_count" value { string_value: "1" } }',
            "",
        ]
    )


def check_config(path: Path, card: ModelCard) -> None:
    """Raises OperatorError that names the first line which is not what the card asks for.

    ``max_batch_size`` may be larger: the file serves all versions of the model.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise OperatorError(f"{path} is missing; {REMEDY}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} cannot be read ({error}); {REMEDY}") from error
    rows = max(batch_size(text), card.limits.max_rows)
    wanted = config_text(card.name, card.signature, Limits(max_rows=rows)).splitlines()
    for number, (has, wants) in enumerate(zip_longest(text.splitlines(), wanted, fillvalue=""), 1):
        if has != wants:
            raise OperatorError(f"{path}, line {number}: is {has!r}, the card asks for {wants!r}; {REMEDY}")


def write_config(path: Path, card: ModelCard) -> None:
    """Write the file unless it already says what the card asks for; ``max_batch_size`` never shrinks."""
    has = path.read_text(errors="replace") if path.exists() else ""
    rows = max(batch_size(has), card.limits.max_rows)
    text = config_text(card.name, card.signature, Limits(max_rows=rows))
    if text != has:
        write_whole(path, text.encode())


def batch_size(text: str) -> int:
    """``max_batch_size`` of a configuration; 0 when it has none."""
    found = re.search(r"^max_batch_size: ([1-9]\d{0,8})$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _tensor(kind: str, tensor: Tensor) -> str:
    dims = ", ".join(str(dim) if isinstance(dim, int) else "-1" for dim in tensor.dims[1:])
    # Triton refuses a tensor without dims besides the batch, so (batch,) goes over the wire as (batch, 1).
    shape = f"dims: [ {dims} ]" if dims else "dims: [ 1 ] reshape { shape: [ ] }"
    return f'{kind} [ {{ name: "{tensor.name}" data_type: TYPE_{OIP_NAME[tensor.dtype]} {shape} }} ]'

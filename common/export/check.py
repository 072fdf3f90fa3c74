"""Is what lies in a repository what its cards say? Digests, configuration, real signatures, golden outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from common.errors import KitharaError, OperatorError
from common.registry.golden import check_golden, read_golden
from common.registry.layout import Version
from common.registry.store import Repository
from contracts.tensors import DType, Tensor

ELEMENT: dict[DType, str] = {
    "float16": "tensor(float16)",
    "float32": "tensor(float)",
    "float64": "tensor(double)",
    "int8": "tensor(int8)",
    "uint8": "tensor(uint8)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
    "bool": "tensor(bool)",
}
"""ONNX Runtime's name of each dtype."""


class Finding(NamedTuple):
    """One version that is not what its card says."""

    model: str
    """``name@version``, or a name alone when its aliases are wrong."""
    message: str


def check(repository: Repository) -> list[Finding]:
    """Everything wrong, one finding a version; empty when the repository is sound.

    Raises OperatorError when the repository itself cannot be read.
    """
    findings: list[Finding] = []
    for name in repository.names():
        numbers = repository.versions(name)
        findings += _aliases(repository, name, numbers)
        for number in numbers:
            try:
                check_version(repository.load(name, number))
            except KitharaError as error:
                findings.append(Finding(model=f"{name}@{number}", message=error.detail))
    return findings


def check_version(version: Version) -> None:
    """Raises OperatorError: the graph cannot be loaded, is not the signature's, or does not reproduce its golden."""
    signature = version.card.signature
    inputs, golden = read_golden(version.golden)
    check_golden(signature, inputs, golden)
    session = _session(version.graph)
    _compare(version.graph, "input", signature.inputs, session.get_inputs())
    _compare(version.graph, "output", signature.outputs, session.get_outputs())
    names = [tensor.name for tensor in signature.outputs]
    try:
        outputs = session.run(names, inputs)
    except Exception as error:
        raise OperatorError(f"{version.graph} fails on its golden inputs ({error}); publish the model again") from error
    for name, output in zip(names, map(np.asarray, outputs), strict=True):
        apart = np.abs(output.astype(np.float64) - golden[name].astype(np.float64)).max(initial=0.0)
        if output.shape != golden[name].shape or not apart <= version.card.golden_tolerance:
            most = version.card.golden_tolerance
            raise OperatorError(f"{version.graph}: golden output {name} differs by {apart:.1e}, at most {most:.1e}")


def _session(graph: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # the reason is in the exception
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise OperatorError(f"{graph} cannot be loaded ({error}); export and publish the model again") from error


def _compare(graph: Path, kind: str, card: tuple[Tensor, ...], found: Sequence[ort.NodeArg]) -> None:
    """Named dims must carry the card's names in the graph: equal names are equal sizes."""
    wanted = {t.name: f"{ELEMENT[t.dtype]} {list(t.dims)}" for t in card}
    has = {node.name: f"{node.type} {list(node.shape)}" for node in found}
    for name in sorted(wanted.keys() | has.keys()):
        if wanted.get(name) != has.get(name):
            raise OperatorError(
                f"{graph}: {kind} {name} is {has.get(name, 'missing')} in the graph and "
                f"{wanted.get(name, 'missing')} in the card; export and publish the model again"
            )


def _aliases(repository: Repository, name: str, numbers: list[int]) -> list[Finding]:
    try:
        aliases = repository.aliases(name)
    except OperatorError as error:
        return [Finding(model=name, message=error.detail)]
    return [
        Finding(model=name, message=f"alias {alias} means version {number}, which is not there; set it anew")
        for alias, number in aliases.items()
        if number not in numbers
    ]

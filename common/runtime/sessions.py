"""ONNX Runtime sessions: opened, compared with the model card, and run."""

from functools import cache
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from common.errors import NotReady
from common.registry.layout import Version
from common.runtime.base import Arrays
from contracts.tensors import DType, Tensor

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from onnxruntime.capi.onnxruntime_pybind11_state import NodeArg, RunOptions

Device = Literal["cpu", "gpu"]
ELEMENT: dict[str, DType] = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
"""ONNX Runtime's name of each element type."""


class OnnxGraph:
    """One graph on one device. ``run`` may be called from several threads."""

    def __init__(self, session: "InferenceSession", names: list[str], options: "type[RunOptions]") -> None:
        self._session, self._names = session, names
        self.stop = options
        """Makes the object whose ``terminate`` ends a running execution."""

    def run(self, inputs: Arrays, stop: "RunOptions | None" = None) -> dict[str, np.ndarray]:
        """All outputs. Raises whatever ONNX Runtime raises."""
        return dict(zip(self._names, self._session.run(self._names, inputs, stop), strict=True))  # pyright: ignore


def runtime(device: Device) -> ModuleType:
    """The installed ONNX Runtime. Raises NotReady, with the command to run, unless exactly the right one is there."""
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(installed) > 1:
        raise NotReady(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: uninstall both, "
            "then install kithara[serve] or kithara[gpu]"
        )
    if not installed:
        raise NotReady("ONNX Runtime is not installed: install kithara[serve], or kithara[gpu] for a GPU")
    if device == "gpu" and installed != ["onnxruntime-gpu"]:
        raise NotReady("device is gpu but onnxruntime-gpu is not installed: install kithara[gpu], or set device to cpu")
    import onnxruntime

    return onnxruntime


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def open_graph(version: Version, device: Device) -> OnnxGraph:
    """Load a version's graph.

    Raises NotReady when the file is no graph that ONNX Runtime reads, when its inputs or outputs differ from the
    card's, or when the GPU was asked for and does not come up.
    """
    ort = runtime(device)
    try:
        session = ort.InferenceSession(version.graph, _options(ort, version), providers=_providers(device))
    except Exception as error:
        reason = f"{version.label}: {version.graph} cannot be loaded ({_first_line(error)}); publish it again"
        raise NotReady(reason) from error
    if device == "gpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise NotReady("device is gpu but CUDA does not come up: check the driver and cuDNN, or set device to cpu")
    signature = version.card.signature
    _compare(version, "input", signature.inputs, session.get_inputs())
    _compare(version, "output", signature.outputs, session.get_outputs())
    return OnnxGraph(session, [tensor.name for tensor in signature.outputs], ort.RunOptions)


@cache
def _share_memory(ort: ModuleType) -> None:
    """One arena for all sessions: what the largest execution of one model needed serves the others too, instead of
    staying with each of them. Once per process; the arguments say 'grow as needed'."""
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(0, -1, -1, -1))


def _options(ort: ModuleType, version: Version) -> Any:
    _share_memory(ort)
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    # One thread an execution: the back end's pool runs several executions side by side instead, without spinning.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # With dynamic sizes every shape ever seen would leave its own allocation plan behind.
    options.enable_mem_pattern = not version.card.signature.dynamic
    # Errors are raised and reported by the caller; nothing goes to stderr beside the log.
    options.log_severity_level = 4
    return options


def _providers(device: Device) -> list[str]:
    return ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "gpu" else ["CPUExecutionProvider"]


def _compare(version: Version, kind: str, card: tuple[Tensor, ...], graph: "list[NodeArg]") -> None:
    found = {node.name: node for node in graph}
    wanted = {tensor.name: tensor for tensor in card}
    for name in found.keys() ^ wanted.keys():
        where = "graph but not in the card" if name in found else "card but not in the graph"
        raise NotReady(f"{version.label}: {kind} {name!r} is in the {where}; export and publish the model again")
    for name, tensor in wanted.items():
        node = found[name]
        # Named sizes too: equal names are equal sizes, in the card as in the graph.
        if ELEMENT.get(node.type) != tensor.dtype or list(node.shape) != list(tensor.dims):
            has = f"{ELEMENT.get(node.type, node.type)} {list(node.shape)}"
            says = f"{tensor.dtype} {list(tensor.dims)}"
            raise NotReady(f"{version.label}: {kind} {name!r} is {has} in the graph and {says} in the card")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

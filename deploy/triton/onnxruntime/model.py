"""Triton's ``onnxruntime`` backend, written in Python: for servers that carry only the python backend.

Triton takes ``<backend-directory>/onnxruntime/model.py`` when that folder holds no ``libtriton_onnxruntime.so``. The
same model repository is then served by this file (tests, machines without containers) and by the native backend
(production image). Runs inside the server's own environment: numpy below 2, onnxruntime, nothing of this project.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb  # pyright: ignore[reportMissingImports]

if int(np.__version__.split(".")[0]) >= 2:
    raise RuntimeError(f"numpy {np.__version__}: the server's Python stub corrupts tensors, install 'numpy<2' there")

GRAPH_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
}


class TritonPythonModel:
    """One instance of one model version; Triton runs each in a process of its own."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Leave the configuration as it is: ours are complete."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph and compare it with the configuration; an exception fails the load with its text."""
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"], args["model_version"])
        self.session = _session(folder / (config.get("default_model_filename") or "model.onnx"), config, args)
        self.batched = config["max_batch_size"] > 0
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        _agree("input", config["input"], self.session.get_inputs(), self.batched)
        _agree("output", config["output"], self.session.get_outputs(), self.batched)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests in order. Those of equal shape run as one batch: Triton gathers, the backend concatenates."""
        feeds = [[pb.get_input_tensor_by_name(r, name).as_numpy() for name in self.inputs] for r in requests]
        groups: dict[Any, list[int]] = {}
        for at, feed in enumerate(feeds):
            groups.setdefault(tuple(array.shape[1:] for array in feed) if self.batched else at, []).append(at)
        answers: list[Any] = [None] * len(requests)
        for members in groups.values():
            for at, answer in zip(members, self._run([feeds[at] for at in members]), strict=True):
                answers[at] = answer
        return answers

    def _run(self, feeds: list[list[np.ndarray]]) -> list[Any]:
        """One execution for all feeds, split again into their answers. If it fails, each feed alone: nobody pays for
        the row of another."""
        columns = feeds[0] if len(feeds) == 1 else [np.concatenate(parts) for parts in zip(*feeds, strict=True)]
        try:
            results: Any = self.session.run(self.outputs, dict(zip(self.inputs, columns, strict=True)))
        except Exception as error:
            if len(feeds) > 1:
                return [answer for feed in feeds for answer in self._run([feed])]
            return [pb.InferenceResponse(error=pb.TritonError(str(error)))]
        cuts = np.cumsum([feed[0].shape[0] for feed in feeds])[:-1] if self.batched else []
        parts = zip(*(np.split(result, cuts) for result in results), strict=True)
        return [pb.InferenceResponse(list(map(_tensor, self.outputs, answer))) for answer in parts]


def _tensor(name: str, array: np.ndarray) -> Any:
    return pb.Tensor(name, np.ascontiguousarray(array))


def _session(graph: Path, config: dict[str, Any], args: dict[str, str]) -> ort.InferenceSession:
    """A session with the configured threads (1 unless stated) that never spins: many stubs share the cores."""
    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 1))
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if args["model_instance_kind"] != "GPU":
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    cuda = ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]})
    session = ort.InferenceSession(graph, options, providers=[cuda, "CPUExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        raise RuntimeError("instance_group asks for a GPU, but onnxruntime has no usable CUDA provider")
    return session


def _agree(kind: str, configured: list[dict[str, Any]], graph: Sequence[Any], batched: bool) -> None:
    """Raise unless every configured tensor is the graph's: name, type, and each size that the graph fixes.

    All inputs of the graph must be configured; outputs may be left out.
    """
    known = {node.name: node for node in graph}
    names = {tensor["name"] for tensor in configured}
    if names - set(known) or (kind == "input" and set(known) - names):
        raise ValueError(f"config.pbtxt has the {kind}s {sorted(names)}, the graph has {sorted(known)}")
    for tensor in configured:
        # `reshape` is what the server hands over; without it the dims are.
        shape = tensor.get("reshape", {}).get("shape", tensor["dims"])
        node, dims = known[tensor["name"]], [-1] * batched + [int(size) for size in shape]
        if GRAPH_TYPES.get(tensor["data_type"]) != node.type:
            raise ValueError(f"{kind} {node.name!r} is {tensor['data_type']} in config.pbtxt, {node.type} in the graph")
        sizes = [size if isinstance(size, int) else -1 for size in node.shape]
        if len(sizes) != len(dims) or any(size not in (-1, dim) for size, dim in zip(sizes, dims, strict=True)):
            raise ValueError(f"{kind} {node.name!r} has the dims {dims} in config.pbtxt, {node.shape} in the graph")

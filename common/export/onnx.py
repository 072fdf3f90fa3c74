"""A torch module as one ONNX file whose inputs and outputs are exactly those of a signature."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import torch
from onnx import helper
from torch import Tensor

from common.errors import OperatorError
from contracts import tensors as contract
from contracts.tensors import Signature

OPSET = 18
NEWEST_IR = 10
"""The oldest ONNX Runtime that we serve with (1.18) reads no newer format."""


def export(module: torch.nn.Module, signature: Signature, example: dict[str, Tensor], path: Path) -> None:
    """Write ``module`` in eval mode to ``path``: one file, opset 18, nothing in it from this machine.

    ``example`` holds a tensor for each input; dynamic dimensions, ``batch`` too, must have at least 2 entries, because
    the tracer takes a size of 1 for a constant. The module takes its inputs in the signature's order and returns one
    tensor or a tuple in the signature's order. Its training flags are as before afterwards.

    Raises OperatorError when example or graph do not fit the signature.
    """
    inputs = _examples(signature, example)
    program = _program(module, signature, inputs)
    _set_apart(program.model.graph)
    model = program.model_proto
    if model.ir_version > NEWEST_IR:
        raise OperatorError(f"export wrote ONNX IR {model.ir_version}, newer than {NEWEST_IR}; see constraints.txt")
    _anonymise(model)
    _declare("input", signature.inputs, model.graph.input)
    _declare("output", signature.outputs, model.graph.output)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _program(module: torch.nn.Module, signature: Signature, inputs: tuple[Tensor, ...]) -> torch.onnx.ONNXProgram:
    sizes: dict[str, torch.export.Dim] = {}
    shapes = tuple(
        {axis: sizes.setdefault(d, torch.export.Dim(d)) for axis, d in enumerate(t.dims) if isinstance(d, str)}
        for t in signature.inputs
    )
    training = {part: part.training for part in module.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    # The encoder's fast path is one fused operator that ONNX does not have.
    torch.backends.mha.set_fastpath_enabled(False)
    module.eval()
    try:
        with warnings.catch_warnings():
            # torch's exporter calls parts of torch that torch has deprecated.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Inputs that share a named dimension are what a signature is for.
            warnings.filterwarnings("ignore", "# The axis name: .* shares the same shape", UserWarning)
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=[t.name for t in signature.inputs],
                output_names=[t.name for t in signature.outputs],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise OperatorError(f"the module cannot be exported to ONNX: {error}") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for part, flag in training.items():
            part.training = flag
    if program is None:
        raise OperatorError("the exporter returned no graph; see its messages above")
    return program


def _set_apart(graph: onnx_ir.Graph) -> None:
    """Values inside are named for operators (``embedding``); one that has the name of an output gets another."""
    outputs = {value.name: value for value in graph.outputs}
    for node in graph:
        for value in node.outputs:
            if value.name in outputs and value is not outputs[value.name]:
                value.name = f"{value.name}_inside"


def _examples(signature: Signature, example: dict[str, Tensor]) -> tuple[Tensor, ...]:
    names = [t.name for t in signature.inputs]
    if set(names) != example.keys():
        raise OperatorError(f"example: has {sorted(example)}, the signature's inputs are {sorted(names)}")
    for tensor in signature.inputs:
        shape, dtype = list(example[tensor.name].shape), str(example[tensor.name].dtype).removeprefix("torch.")
        fits = dtype == tensor.dtype and len(shape) == len(tensor.dims)
        if not fits or any(n != d if isinstance(d, int) else n < 2 for n, d in zip(shape, tensor.dims, strict=True)):
            wanted = f"{tensor.dtype} {list(tensor.dims)} with at least 2 in each named dimension"
            raise OperatorError(f"example: {tensor.name} is {dtype} {shape}, must be {wanted}")
    return tuple(example[name] for name in names)


def _anonymise(model: onnx.ModelProto) -> None:
    """Drop what says where and from which source lines the graph was made: equal modules give equal bytes."""
    graph = model.graph
    model.producer_name, model.producer_version, model.doc_string, graph.name = "kithara", "", "", "main"
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *model.functions):
        part.doc_string = ""
        del part.metadata_props[:]
    for function in model.functions:
        del function.value_info[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def _declare(kind: str, wanted: tuple[contract.Tensor, ...], found: Sequence[onnx.ValueInfoProto]) -> None:
    """Write the signature's dims into the graph, after checking that the traced ones allow it."""
    if [t.name for t in wanted] != [node.name for node in found]:
        names = [t.name for t in wanted], [node.name for node in found]
        raise OperatorError(f"{kind}s of the signature are {names[0]}, of the graph {names[1]}")
    for tensor, node in zip(wanted, found, strict=True):
        traced = node.type.tensor_type
        element = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        dims = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in traced.shape.dim]
        fits = traced.elem_type == element and len(dims) == len(tensor.dims)
        # A symbolic size may turn out to be a fixed one, as parity then proves; a fixed one is never dynamic.
        if not fits or any(isinstance(has, int) and has != d for has, d in zip(dims, tensor.dims, strict=True)):
            graph = f"{onnx.TensorProto.DataType.Name(traced.elem_type)} {dims}"
            card = f"{tensor.dtype} {list(tensor.dims)}"
            raise OperatorError(f"{kind} {tensor.name} is {card} in the signature, {graph} in the traced graph")
        node.CopyFrom(helper.make_tensor_value_info(tensor.name, element, list(tensor.dims)))

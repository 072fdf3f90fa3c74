from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2 as pb

from common.registry.triton_config import config_text
from contracts.models import Limits
from contracts.tensors import Signature, Tensor

TYPES = {
    "float16": pb.TYPE_FP16, "float32": pb.TYPE_FP32, "float64": pb.TYPE_FP64, "int8": pb.TYPE_INT8,
    "uint8": pb.TYPE_UINT8, "int32": pb.TYPE_INT32, "int64": pb.TYPE_INT64, "bool": pb.TYPE_BOOL,
}  # fmt: skip
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)
SHARED = ("time", "tokens")
inner = st.lists(st.integers(1, 10**6) | st.sampled_from(SHARED), max_size=4)


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    names = draw(st.lists(NAMES, min_size=2, unique=True, max_size=6))
    cut = draw(st.integers(1, len(names) - 1))
    dtypes = st.sampled_from(sorted(TYPES))
    inputs = [Tensor(name=n, dtype=draw(dtypes), dims=("batch", *draw(inner))) for n in names[:cut]]  # pyright: ignore
    known = {d for t in inputs for d in t.dims}
    outputs = [
        Tensor(
            name=n, dtype=draw(dtypes), dims=("batch", *(d for d in draw(inner) if isinstance(d, int) or d in known))
        )  # pyright: ignore
        for n in names[cut:]
    ]
    return Signature(inputs=tuple(inputs), outputs=tuple(outputs))


@given(signatures(), st.integers(1, 10**6))
def test_triton_reads_the_signature(signature: Signature, rows: int):
    config = text_format.Parse(config_text("a-model.1", signature, Limits(max_rows=rows)), pb.ModelConfig())
    assert (config.name, config.backend, config.max_batch_size) == ("a-model.1", "onnxruntime", rows)
    for tensors, parsed in ((signature.inputs, config.input), (signature.outputs, config.output)):
        assert [t.name for t in tensors] == [p.name for p in parsed]
        for tensor, has in zip(tensors, parsed, strict=True):
            assert has.data_type == TYPES[tensor.dtype]
            shape = [d if isinstance(d, int) else -1 for d in tensor.dims[1:]]
            assert list(has.reshape.shape if has.HasField("reshape") else has.dims) == shape
            assert len(has.dims) > 0, "Triton refuses a tensor without dims"


def test_the_rest_of_the_configuration():
    tensors = [(Tensor(name=n, dtype="float32", dims=("batch",)),) for n in "xy"]
    config = text_format.Parse(
        config_text("m", Signature(inputs=tensors[0], outputs=tensors[1]), Limits()), pb.ModelConfig()
    )
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    assert [(g.kind, g.count) for g in config.instance_group] == [(pb.ModelInstanceGroup.KIND_AUTO, 1)]
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching == pb.ModelDynamicBatching(), "a delay or queue policy stalls requests"
    assert {k: v.string_value for k, v in config.parameters.items()} == {"intra_op_thread_count": "1"}

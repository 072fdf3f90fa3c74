"""The Open Inference Protocol, checked with Triton's own client and by hand-made wrong requests."""

import json

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.models import Limits
from contracts.tensors import OIP_NAME

DTYPES = tuple(OIP_NAME)


@pytest.fixture(scope="module")
def client(module_suite):
    with module_suite(*DTYPES, limits=Limits(max_rows=8, max_cost=10**9)).served() as port:
        made = triton.InferenceServerClient(f"127.0.0.1:{port}")
        yield made
        made.close()


def arrays() -> st.SearchStrategy[dict[str, np.ndarray]]:
    finite = {"allow_nan": False, "allow_infinity": False}

    def one(dtype: str, rows: int) -> st.SearchStrategy[np.ndarray]:
        kind = np.dtype(dtype)
        elements = hnp.from_dtype(kind, **(finite if kind.kind == "f" else {}))
        return hnp.arrays(kind, st.integers(1, 3).map(lambda n: (rows, n)), elements=elements)

    return st.integers(1, 4).flatmap(lambda rows: st.fixed_dictionaries({d: one(d, rows) for d in DTYPES}))


@settings(max_examples=25, deadline=None)
@given(tensors=arrays(), binary_in=st.booleans(), binary_out=st.booleans(), request_id=st.text("ab1", max_size=4))
def test_every_dtype_and_shape_comes_back(client, tensors, binary_in, binary_out, request_id) -> None:
    inputs, outputs = [], []
    for dtype, array in tensors.items():
        tensor = triton.InferInput(f"in_{dtype}", list(array.shape), OIP_NAME[dtype])
        tensor.set_data_from_numpy(array, binary_data=binary_in or dtype == "float16")
        inputs.append(tensor)
        outputs.append(triton.InferRequestedOutput(f"out_{dtype}", binary_data=binary_out or dtype == "float16"))
    result = client.infer("echo", inputs, outputs=outputs, request_id=request_id)
    head = result.get_response()
    assert (head["model_name"], head["model_version"], head.get("id", "")) == ("echo", "3", request_id)
    for dtype, array in tensors.items():
        got = result.as_numpy(f"out_{dtype}")
        assert got.dtype == array.dtype
        np.testing.assert_array_equal(got, array)


def test_metadata_and_health(client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("echo")
    assert client.is_model_ready("echo", "3")
    assert not client.is_model_ready("nobody")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("echo")
    assert metadata["versions"] == ["3"]
    assert {"name": "in_bool", "datatype": "BOOL", "shape": [-1, -1]} in metadata["inputs"]
    assert client.get_model_repository_index() == [{"name": "echo", "version": "3", "state": "READY"}]
    client.load_model("echo")
    with pytest.raises(triton.InferenceServerException, match="nobody"):
        client.load_model("nobody")


def test_without_requested_outputs_all_come_in_binary(client) -> None:
    inputs = []
    for dtype in DTYPES:
        inputs.append(triton.InferInput(f"in_{dtype}", [1, 1], OIP_NAME[dtype]))
        inputs[-1].set_data_from_numpy(np.ones((1, 1), dtype))
    result = client.infer("echo", inputs, model_version="3")
    assert {o["parameters"]["binary_data_size"] for o in result.get_response()["outputs"]} == {1, 2, 4, 8}


def infer(shape=(1, 2), datatype="FP32", data=(1.0, 2.0), name="in_float32", **more) -> dict:
    return {"inputs": [{"name": name, "shape": shape, "datatype": datatype, "data": data}], **more}


def binary(array: np.ndarray, **changed) -> bytes:
    tensor = {"name": "in_float32", "shape": list(array.shape), "datatype": "FP32"}
    tensor |= {"parameters": {"binary_data_size": array.nbytes}} | changed
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (infer(name="pixels"), "inputs.pixels"),
        (infer(datatype="FP64"), "must be float32"),
        (infer(datatype="BYTES"), "BYTES"),
        (infer(shape=(1, 3)), "shape"),
        (infer(shape=(2,)), "dims"),
        (infer(shape=(9, 2), data=[0.0] * 18), "at most 8 rows"),
        (infer(shape=(1, -1)), "shape"),
        (infer(shape=(0, 2), data=[]), "at least 1"),
        (infer(data=[[1.0], [2.0, 3.0]]), "unevenly"),
        (infer(data=["1", "2"]), "FP32"),
        (infer(data=[1e300, 1.0]), "infinity"),
        (infer(data=None), "neither"),
        (infer(outputs=[{"name": "nothing"}]), "out_float32"),
        (infer(outputs=[{"name": "out_float32"}] * 2), "more than once"),
        (infer(outputs=[{"name": "out_float32", "parameters": {"classification": 2}}]), "classification"),
        (infer(extra=1), "extra"),
        ({"inputs": [infer()["inputs"][0]] * 2}, "more than once"),
        ({}, "inputs"),
        (b"", "empty"),
        (b"{", "cannot be read"),
        (b'{"id":"\xff"}', "cannot be read"),
    ],
)
async def test_wrong_requests_are_400_in_the_protocols_form(suite, body, said: str) -> None:
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    async with suite(limits=Limits(max_rows=8)).client() as client:
        answer = await client.post("/v2/models/echo/infer", **sent)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("head", "tail", "length", "said"),
    [
        (binary(np.zeros((1, 2), "f4")), b"\0" * 7, None, "7 bytes left"),
        (binary(np.zeros((1, 2), "f4")), b"\0" * 9, None, "follow the last"),
        (binary(np.zeros((1, 2), "f4"), shape=[1, 3]), b"\0" * 8, None, "12 bytes"),
        (binary(np.zeros((1, 2), "f4"), data=[1, 2]), b"\0" * 8, None, "send one"),
        (binary(np.zeros((1, 2), "f4")), np.array([np.nan, 1], "f4").tobytes(), None, "NaN"),
        (binary(np.zeros((1, 2), "f4")), b"\0" * 8, b"9999", "9999"),
        (binary(np.zeros((1, 2), "f4")), b"\0" * 8, b"-1", "-1"),
        (binary(np.zeros((1, 2), "f4"), datatype="BOOL", parameters={"binary_data_size": 2}), b"\2\0", None, "BOOL"),
    ],
)
async def test_wrong_binary_tensors(suite, head: bytes, tail: bytes, length: bytes | None, said: str) -> None:
    headers = {"inference-header-content-length": length or str(len(head)).encode()}
    async with suite().client() as client:
        answer = await client.post("/v2/models/echo/infer", content=head + tail, headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/v2/models/nobody/infer", 404, None),
        ("POST", "/v2/models/echo/versions/9/infer", 404, None),
        ("GET", "/v2/models/echo/nothing", 404, None),
        ("GET", "/v2/nothing", 404, None),
        ("GET", "/v2/models/echo/infer", 405, "OPTIONS, POST"),
        ("OPTIONS", "/v2/models/echo/infer", 204, "OPTIONS, POST"),
        ("HEAD", "/v2/models/echo", 200, None),
        ("GET", "/v2/", 200, None),
    ],
)
async def test_routing(suite, method: str, path: str, status: int, allow: str | None) -> None:
    async with suite().client() as client:
        answer = await client.request(method, path, json=infer())
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert status < 400 or list(answer.json()) == ["error"]


async def test_integers_beyond_the_type_are_refused(suite) -> None:
    body = infer(datatype="INT8", name="in_int8", data=[1, 128])
    async with suite("int8").client() as client:
        answer = await client.post("/v2/models/echo/infer", json=body)
    assert "INT8" in answer.json()["error"]


async def test_not_ready_says_why(suite) -> None:
    made = suite()
    made.models.reason = "golden output differs"
    async with made.client() as client:
        for path in ("/v2/health/ready", "/v2/models/echo/ready"):
            assert (await client.get(path)).status_code == 503
        answer = await client.post("/v2/models/echo/infer", json=infer())
        index = await client.post("/v2/repository/index")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"error": "golden output differs"}
    assert index.json()[0]["reason"] == "golden output differs"


async def test_id_and_deadline_reach_the_back_end(suite) -> None:
    made = suite()
    body = infer(parameters={"timeout": 250_000})
    async with made.client() as client:
        await client.post("/v2/models/echo/infer", json=body, headers={"x-request-id": "r-9"})
    (call,) = made.models.calls
    assert call.request_id == "r-9"
    assert 0 < call.remaining(100.0) <= 0.25

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tensors import Signature, Tensor
from deploy.bench.answers import Answer, BadAnswer, get_request, infer_request, outputs, parse

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Request-Id: Ab\r\n\r\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"
CHUNKED = b"HTTP/1.1 503 Service Unavailable\r\ntransfer-encoding: chunked\r\nretry-after: 1\r\n\r\n"


def chunks(parts: list[bytes]) -> bytes:
    return b"".join(b"%x;note=1\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_reads_one_answer_and_leaves_the_next() -> None:
    found = parse(PLAIN + EMPTY)
    assert found is not None
    answer, used = found
    assert (answer.status, answer.body, used) == (200, b"hello", len(PLAIN))
    assert answer.header(b"x-request-id") == b"ab"
    assert answer.header(b"retry-after") is None
    rest = parse((PLAIN + EMPTY)[used:])
    assert rest is not None
    assert (rest[0].status, rest[0].body, rest[1]) == (204, b"", len(EMPTY))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_puts_chunks_together_and_waits_at_every_cut(parts: list[bytes]) -> None:
    data = CHUNKED + chunks(parts)
    found = parse(data + b"next")
    assert found is not None
    assert (found[0].status, found[0].body, found[1]) == (503, b"".join(parts), len(data))
    assert found[0].header(b"retry-after") == b"1"
    assert all(parse(data[:cut]) is None for cut in range(len(data)))


def test_waits_at_every_cut_of_a_sized_answer() -> None:
    assert all(parse(PLAIN[:cut]) is None for cut in range(len(PLAIN)))


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nserver: x\r\n\r\n",
        CHUNKED + b"zz\r\n\r\n",
        CHUNKED + b"2\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_refuses_what_it_does_not_know(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse(data)


def test_connection_close_is_noticed() -> None:
    assert Answer(200, b"http/1.1 200 ok\r\nconnection: close", b"").closes
    assert not Answer(200, b"http/1.1 200 ok\r\nx-connection: close", b"").closes


def test_request_carries_the_tensors_behind_their_description() -> None:
    signature = Signature(
        inputs=(
            Tensor(name="tokens", dtype="int64", dims=("batch", "n")),
            Tensor(name="lengths", dtype="int64", dims=("batch",)),
        ),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", 2)),),
    )
    inputs = {"lengths": np.array([3]), "tokens": np.array([[5, 6, 7]])}
    head, _, body = infer_request("m", signature, inputs).partition(b"\r\n\r\n")
    headers = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1\r\n")
    assert int(headers[b"content-length"]) == len(body)
    at = int(headers[b"inference-header-content-length"])
    document = msgspec.json.decode(body[:at])
    assert [(i["name"], i["datatype"], i["shape"]) for i in document["inputs"]] == [
        ("tokens", "INT64", [1, 3]),
        ("lengths", "INT64", [1]),
    ]
    assert np.frombuffer(body[at:], np.int64).tolist() == [5, 6, 7, 3]
    assert get_request("/empty").startswith(b"GET /empty HTTP/1.1\r\nhost: ")


def test_outputs_are_read_back_in_their_shape() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    described = {"name": "y", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": array.nbytes}}
    document = msgspec.json.encode({"model_name": "m", "outputs": [described]})
    head = b"http/1.1 200 ok\r\ninference-header-content-length: %d" % len(document)
    found = outputs(Answer(200, head, document + array.tobytes()))
    assert found.keys() == {"y"}
    np.testing.assert_array_equal(found["y"], array)
    with pytest.raises(BadAnswer):
        outputs(Answer(200, b"http/1.1 200 ok", document))

"""HTTP answers and KServe bodies as the load client reads and writes them: as little work as will do."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from contracts.tensors import OIP_NAME, Signature

_END = b"\r\n\r\n"
_MOST_HEAD, _MOST_BODY = 65_536, 1 << 24


class BadAnswer(Exception):
    """What came is no HTTP/1.1 answer that this reader knows."""


class Answer(NamedTuple):
    """One whole HTTP answer; ``head`` is lower case and ends before the empty line."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        """Value of a header, its name in lower case; None when it is absent."""
        start = self.head.find(b"\r\n" + name + b":")
        if start < 0:
            return None
        start += len(name) + 3
        end = self.head.find(b"\r\n", start)
        return self.head[start : end if end >= 0 else None].strip()

    @property
    def closes(self) -> bool:
        return self.header(b"connection") == b"close"


def parse(data: bytes) -> tuple[Answer, int] | None:
    """The first answer in ``data`` and how many bytes it took; None while it is incomplete.

    Bodies come with Content-Length or chunked; answers 204 and 304 have none. Raises BadAnswer.
    """
    end = data.find(_END)
    if end < 0:
        if len(data) > _MOST_HEAD:
            raise BadAnswer(f"no end of the head within {_MOST_HEAD} bytes")
        return None
    head = data[:end].lower()
    if head[:7] != b"http/1." or not head[9:12].isdigit():
        raise BadAnswer(f"not an HTTP/1 status line: {head[:40]!r}")
    status, start = int(head[9:12]), end + 4
    answer = Answer(status, head, b"")
    if status in (204, 304):
        return answer, start
    length = answer.header(b"content-length")
    if length is None:
        if answer.header(b"transfer-encoding") != b"chunked":
            raise BadAnswer("neither Content-Length nor chunks")
        body = _dechunk(data, start)
        return None if body is None else (answer._replace(body=body[0]), body[1])
    stop = start + int(length)
    if stop - start > _MOST_BODY:
        raise BadAnswer(f"a body of {stop - start} bytes")
    return None if len(data) < stop else (answer._replace(body=data[start:stop]), stop)


def _dechunk(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The chunks from ``at`` on, put together, and where they end; None while incomplete. No trailers."""
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", at)) >= 0:
        try:
            size = int(data[at:line].split(b";")[0], 16)
        except ValueError:
            raise BadAnswer(f"not a chunk size: {data[at:line][:20]!r}") from None
        at = line + 2 + size + 2
        if len(data) < at:
            return None
        if data[at - 2 : at] != b"\r\n":
            raise BadAnswer("a chunk does not end where its size says")
        if size == 0:
            return b"".join(parts), at
        parts.append(data[line + 2 : at - 2])
    return None


def infer_request(model: str, signature: Signature, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A whole ``POST /v2/models/{model}/infer`` with binary tensors in and binary outputs asked for."""
    tails = [np.ascontiguousarray(inputs[t.name]).tobytes() for t in signature.inputs]
    document = {
        "inputs": [
            {
                "name": tensor.name,
                "datatype": OIP_NAME[tensor.dtype],
                "shape": list(inputs[tensor.name].shape),
                "parameters": {"binary_data_size": len(tail)},
            }
            for tensor, tail in zip(signature.inputs, tails, strict=True)
        ],
        "outputs": [{"name": t.name, "parameters": {"binary_data": True}} for t in signature.outputs],
    }
    header = msgspec.json.encode(document)
    body = header + b"".join(tails)
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/octet-stream\r\n"
        f"inference-header-content-length: {len(header)}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get_request(path: str) -> bytes:
    """``GET path`` on a connection that stays open."""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


def outputs(answer: Answer) -> dict[str, np.ndarray]:
    """The binary output tensors of an inference answer, float32 only. Raises BadAnswer."""
    length = answer.header(b"inference-header-content-length")
    if length is None:
        raise BadAnswer("no Inference-Header-Content-Length: the outputs are not binary")
    at, found = int(length), {}
    for tensor in msgspec.json.decode(answer.body[:at])["outputs"]:
        if tensor["datatype"] != "FP32":
            raise BadAnswer(f"output {tensor['name']!r} is {tensor['datatype']}, not FP32")
        size = tensor["parameters"]["binary_data_size"]
        found[tensor["name"]] = np.frombuffer(answer.body[at : at + size], np.float32).reshape(tensor["shape"])
        at += size
    return found

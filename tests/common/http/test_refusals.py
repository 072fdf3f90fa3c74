"""The refusal that is written without parsing, held against the parser."""

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from common.http.refusals import plain_inference, plain_refusal

REQUEST = (
    b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    b"Inference-Header-Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}ab"
)


class Seen:
    """What the parser finds."""

    def __init__(self, data: bytes) -> None:
        self.begun = self.complete = 0
        self.names: list[bytes] = []
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, _value: bytes) -> None:
        self.names.append(name.lower())

    def on_message_complete(self) -> None:
        self.complete += 1


def test_a_whole_inference_is_plain() -> None:
    assert plain_inference(REQUEST)
    assert plain_inference(REQUEST.replace(b"Content-Length: 4", b"content-length:4"))


def test_what_needs_the_parser_is_not() -> None:
    for data in (
        REQUEST[:-1],
        REQUEST + b"P",
        REQUEST.replace(b"/infer", b"/ready"),
        REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        REQUEST.replace(b"Host: x", b"Connection: close"),
        REQUEST.replace(b"Host: x", b"Expect: 100-continue"),
        REQUEST.replace(b"Host: x", b"Transfer-Encoding: chunked"),
        REQUEST.replace(b"Host: x", b"X-Request-Id: mine"),
        REQUEST.replace(b"Host: x", b"Content-Length: 4"),
        REQUEST.replace(b"Host: x\r\n", b"Host: x\n"),
        b"GET" + REQUEST[4:],
    ):
        assert not plain_inference(data), data


@given(
    st.integers(0, len(REQUEST)),
    st.integers(0, 12),
    st.sampled_from([b"", b"\r\n", b"\n", b":", b" ", b"\0", b"content-length: 4\r\n", b"4", b"\r\n\r\n", REQUEST]),
)
@example(0, 0, b"")
def test_whatever_is_called_plain_is_one_request_to_the_parser(at: int, cut: int, put: bytes) -> None:
    data = REQUEST[:at] + put + REQUEST[at + cut :]
    if not plain_inference(data):
        return
    try:
        seen = Seen(data)
    except httptools.HttpParserError:
        return  # would have been 400 and is 503: refused either way, and nothing of it is left to be misread
    assert (seen.begun, seen.complete) == (1, 1)
    assert seen.parser.should_keep_alive()
    assert not {b"expect", b"upgrade", b"transfer-encoding", b"x-request-id"} & set(seen.names)


def test_every_refusal_has_an_id_of_its_own() -> None:
    assert plain_refusal() != plain_refusal()

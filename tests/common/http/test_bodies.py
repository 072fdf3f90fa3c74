"""Reading what routes take: strict, bounded, with words that say what to send."""

import asyncio
import socket

import httpx
import pytest

URL = "/t/picture"
PNG = {"content-type": "image/png"}


async def post(suite, **kwargs) -> httpx.Response:
    async with suite().client() as client:
        return await client.post(kwargs.pop("url", URL), **kwargs)


async def test_raw_body_with_options_in_the_query(suite) -> None:
    answer = await post(suite, url=URL + "?top_k=3&invert=true&model=m%401", content=b"12345", headers=PNG)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["label"], body["leaf"], body["scores"][0]["score"], body["model"]) == ("5 bytes", 3, 1.0, "m@1")


async def test_form_with_options_in_fields(suite) -> None:
    answer = await post(suite, files={"image": ("a.jpg", b"123", "image/jpeg")}, data={"top_k": "4", "invert": "true"})
    body = answer.json()
    assert (body["label"], body["leaf"], body["scores"][0]["score"]) == ("3 bytes", 4, 1.0)


async def test_form_fields_win_over_the_query(suite) -> None:
    sent = {"files": {"image": ("a.jpg", b"123", "image/jpeg")}, "data": {"top_k": "4"}}
    body = (await post(suite, url=URL + "?top_k=3&invert=true", **sent)).json()
    assert (body["leaf"], body["scores"][0]["score"]) == (4, 1.0)


@pytest.mark.parametrize(
    ("sent", "status", "field", "said"),
    [
        ({"content": b"", "headers": PNG}, 400, None, "empty"),
        ({"content": b"x", "headers": {"content-type": "image/gif"}}, 415, None, "image/png or image/jpeg"),
        ({"content": b"x"}, 415, None, "missing"),
        ({"content": b"x", "headers": {**PNG, "content-encoding": "gzip"}}, 415, None, "content-encoding"),
        ({"content": b"x" * 10_001, "headers": PNG}, 413, None, "10000 bytes"),
        ({"content": b"x", "headers": PNG, "url": URL + "?top=3"}, 422, "query.top", "known: model, top_k, invert"),
        ({"content": b"x", "headers": PNG, "url": URL + "?invert=1"}, 422, "query.invert", "true or false"),
        ({"content": b"x", "headers": PNG, "url": URL + "?top_k=0"}, 422, "query.top_k", ">= 1"),
        ({"content": b"x", "headers": PNG, "url": URL + "?top_k=x"}, 422, "query.top_k", "Expected `int`"),
        ({"content": b"x", "headers": PNG, "url": URL + "?top_k=1&top_k=2"}, 422, "query.top_k", "more than once"),
        ({"content": b"x", "headers": PNG, "url": URL + "?model=%FF"}, 400, None, "query"),
        ({"files": {"picture": ("a", b"x", "image/png")}}, 422, "form.image", "missing"),
        ({"files": {"image": ("a", b"x", "text/plain")}}, 415, None, "text/plain"),
        ({"files": {"image": ("a", b"", "image/png")}}, 400, None, "empty"),
        ({"files": {"image": ("a", b"x" * 10_001, "image/png")}}, 413, None, "10000 bytes"),
        ({"files": {"image": ("a", b"x" * 80_000, "image/png")}}, 413, None, "bytes"),
        ({"files": [("image", ("a", b"x", "image/png"))] * 2}, 422, "form.image", "more than once"),
        ({"files": {"image": ("a", b"x", "image/png")}, "data": {"top": "1"}}, 422, "form.top", "unknown"),
        ({"files": {"image": ("a", b"x", "image/png")}, "data": {"top_k": "z"}}, 422, "form.top_k", "Expected `int`"),
        ({"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, None, "form"),
        ({"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data"}}, 400, None, "form"),
        ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, None, "empty"),
        ({"content": b"", "headers": {"content-type": "application/json"}, "url": "/t/json"}, 400, None, "empty"),
        ({"content": b"{", "headers": {"content-type": "application/json"}, "url": "/t/json"}, 400, None, "JSON"),
        (
            {"content": b'{"field":"\xff"}', "headers": {"content-type": "application/json"}, "url": "/t/json"},
            400,
            None,
            "JSON",
        ),
        ({"content": b"{}", "url": "/t/json"}, 415, None, "application/json"),
        ({"json": {"field": "f"}, "url": "/t/json"}, 422, "message", "missing required"),
        ({"json": {"field": "f", "message": 1}, "url": "/t/json"}, 422, "message", "Expected `str`"),
        ({"json": {"field": "f", "message": "m", "more": 1}, "url": "/t/json"}, 422, "more", "unknown field"),
        ({"json": {"field": "f" * 1000, "message": "m"}, "url": "/t/json"}, 413, None, "1000 bytes"),
    ],
)
async def test_what_is_wrong_is_said(suite, sent: dict, status: int, field: str | None, said: str) -> None:
    answer = await post(suite, **sent)
    problem = answer.json()
    assert answer.status_code == problem["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert [e["field"] for e in problem["errors"]] == ([field] if field else [])
    assert said in problem["detail"]


def test_endless_body_is_answered_and_cut_off_at_the_limit(suite) -> None:
    head = f"POST {URL} HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n"
    with suite().served() as port, socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(head.encode() + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        connection.sendall((b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 10)
        answer = connection.makefile("rb").read()  # ends: the server closes
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


async def test_query_alone(suite) -> None:
    async with suite().client() as client:
        assert (await client.get("/t/query?invert=true")).json()["invert"] is True
        assert (await client.get("/t/query?invert=maybe")).status_code == 422


async def test_body_that_does_not_come_within_the_deadline(suite) -> None:
    async def stuck():
        yield b"x"
        await asyncio.sleep(0.5)

    with suite().served() as port:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            answer = await client.post(URL, content=stuck(), headers={**PNG, "x-timeout-ms": "50"})
    assert answer.status_code == 504

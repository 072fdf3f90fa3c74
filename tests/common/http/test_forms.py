"""Forms with many files: beside one JSON field, or beside options."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from litestar import Router, post

from common.http.app import Domain, create_app
from common.http.bodies import AnyRequest, takes
from common.http.forms import INLINE_BYTES, Files, FilesAndOptions, JsonAndFiles
from common.settings import Settings
from contracts.problem import FieldError
from contracts.vision_nlp import ClassifyOptions

FILES = Files(("audio/wav", "application/octet-stream"), 1_000_000)
NAMED = JsonAndFiles("what", FieldError, FILES, 2_000_000, 500)
MANY = FilesAndOptions(ClassifyOptions, FILES, 2_000_000)
ALONE = FilesAndOptions(ClassifyOptions, Files(FILES.media, FILES.limit, alone=True), 2_000_000)
WAV = "audio/wav"


@post("/named", status_code=200, opt=takes(NAMED))
async def named(request: AnyRequest) -> dict[str, Any]:
    """Give back what was read."""
    body, files = await NAMED.read(request)
    return {"body": msgspec.to_builtins(body), "files": [[f.name, len(f.content), f.content[:2].hex()] for f in files]}


@post("/many", status_code=200, opt=takes(MANY))
async def many(request: AnyRequest) -> dict[str, Any]:
    """Give back what was read."""
    files, options = await MANY.read(request)
    return {"options": msgspec.to_builtins(options), "files": [[f.name, len(f.content)] for f in files]}


@post("/alone", status_code=200, opt=takes(ALONE))
async def alone(request: AnyRequest) -> list[Any]:
    """Give back what was read, and what is wrong with it."""
    files, _ = await ALONE.read(request)
    return [[f.name, len(f.content), f.fault and [f.fault.status, f.fault.detail]] for f in files]


@pytest.fixture
async def client(suite) -> AsyncIterator[httpx.AsyncClient]:
    router = Router("/t", route_handlers=[named, many, alone], tags=["test"])
    app = create_app("Test", [Domain(router)], suite().models, Settings(access_log=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as client:
        yield client


BODY = '{"field": "f", "message": "m"}'


async def test_one_json_field_and_any_files(client: httpx.AsyncClient) -> None:
    files = {"a b.wav": ("x", b"12", WAV), "ü": ("y", b"\x00\xff\r\n", WAV)}
    answer = await client.post("/t/named", data={"what": BODY}, files=files)
    assert answer.json() == {
        "body": {"field": "f", "message": "m"},
        "files": [["a b.wav", 2, "3132"], ["ü", 4, "00ff"]],
    }


async def test_the_json_may_be_sent_as_a_file(client: httpx.AsyncClient) -> None:
    files = {"what": ("what.json", BODY.encode(), "application/json"), "a": ("a", b"1", WAV)}
    assert (await client.post("/t/named", files=files)).json()["files"] == [["a", 1, "31"]]


async def test_a_large_form_is_read_in_a_thread_to_the_same_bytes(client: httpx.AsyncClient) -> None:
    content = bytes(range(256)) * (INLINE_BYTES // 256 + 1)
    answer = await client.post("/t/named", data={"what": BODY}, files={"a": ("a", content, WAV), "b": ("b", b"2", WAV)})
    assert answer.json()["files"] == [["a", len(content), "0001"], ["b", 1, "32"]]


async def test_files_and_options(client: httpx.AsyncClient) -> None:
    files = {"a": ("a", b"12", WAV), "b": ("b", b"3", "application/octet-stream")}
    answer = await client.post("/t/many?top_k=3&invert=true", files=files, data={"top_k": "4"})
    said = answer.json()
    assert said["files"] == [["a", 2], ["b", 1]]
    assert (said["options"]["top_k"], said["options"]["invert"]) == (4, True)
    raw = (await client.post("/t/many?top_k=3", content=b"123", headers={"content-type": WAV})).json()
    assert (raw["files"], raw["options"]["top_k"]) == ([["file", 3]], 3)


async def test_a_wrong_file_fails_no_other_where_each_is_told_of_alone(client: httpx.AsyncClient) -> None:
    files = {
        "a": ("a", b"12", WAV),
        "film": ("b", b"12", "video/mp4"),
        "none": ("c", b"", WAV),
        "large": ("d", b"1" * 1_000_001, WAV),
        "z": ("z", b"3", WAV),
    }
    good, film, none, large, last = (await client.post("/t/alone", files=files)).json()
    assert (good, last) == (["a", 2, None], ["z", 1, None])
    assert film == ["film", 0, [415, "film is video/mp4; send it as audio/wav or application/octet-stream"]]
    assert none == ["none", 0, [400, "none is empty; send the bytes of the file"]]
    assert large == ["large", 0, [413, "large has 1000001 bytes, at most 1000000 are taken; send a part of it"]]
    for wrong, field in (
        ([("a", ("a", b"1", WAV)), ("a", ("a", b"1", WAV))], "form.a"),
        ([("e" * 201, ("e", b"1", WAV)), ("b", ("b", b"", WAV))], "form." + "e" * 200),
    ):
        answer = await client.post("/t/alone", files=wrong)
        assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("url", "sent", "status", "fields", "said"),
    [
        ("named", {"files": {"a": ("a", b"1", WAV)}}, 422, ["form.what"], "missing"),
        ("named", {"data": {"what": [BODY, BODY]}, "files": {"a": ("a", b"1", WAV)}}, 422, ["form.what"], "than once"),
        ("named", {"data": {"what": "{"}, "files": {"a": ("a", b"1", WAV)}}, 400, [], "not valid JSON"),
        ("named", {"files": {"what": ("w", b'{"field": "\xff"}', "application/json")}}, 400, [], "not valid JSON"),
        ("named", {"data": {"what": "{}"}, "files": {"a": ("a", b"1", WAV)}}, 422, ["form.what.field"], "missing"),
        ("named", {"data": {"what": BODY + " " * 500}, "files": {"a": ("a", b"1", WAV)}}, 413, [], "500 bytes"),
        (
            "named",
            {"data": {"what": BODY, "other": "1"}, "files": {"a": ("a", b"1", WAV)}},
            422,
            ["form.other"],
            "what",
        ),
        ("named", {"json": {}}, 415, [], "multipart/form-data"),
        (
            "named",
            {
                "data": {"what": BODY},
                "files": [
                    ("a", ("a", b"1", WAV)),
                    ("a", ("a", b"1", WAV)),
                    ("b", ("b", b"", WAV)),
                    ("c", ("c", b"1", "text/plain")),
                    ("d", ("d", b"1" * 1_000_001, WAV)),
                    ("e" * 201, ("e", b"1", WAV)),
                ],
            },
            422,
            ["form.a", "form.b", "form.c", "form.d", "form." + "e" * 200],
            "send it as audio/wav",
        ),
        ("named", {"data": {"what": BODY}, "files": [(f"p{i}", ("a", b"1", WAV)) for i in range(64)]}, 400, [], "form"),
        ("named", {"data": {"what": BODY}, "files": {"a": ("a", b"1" * 3_000_000, WAV)}}, 413, [], "bytes"),
        ("many", {"files": {"top_k": ("a", b"1", WAV)}}, 422, ["form"], "no file"),
        (
            "many",
            {"files": {"a": ("a", b"1", WAV)}, "data": {"top": "1"}},
            422,
            ["form.top"],
            "known: depth, exit_entropy, invert",
        ),
        ("many", {"files": {"a": ("a", b"1", WAV)}, "data": {"top_k": "x"}}, 422, ["form.top_k"], "Expected `int`"),
        ("many?top_k=x", {"content": b"1", "headers": {"content-type": WAV}}, 422, ["query.top_k"], "Expected `int`"),
        ("many", {"content": b"", "headers": {"content-type": WAV}}, 400, [], "empty"),
        ("many", {"content": b"", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, [], "empty"),
        (
            "many",
            {"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            400,
            [],
            "form",
        ),
        ("many", {"content": b"1" * 1_000_001, "headers": {"content-type": WAV}}, 413, [], "1000000 bytes"),
        ("many", {"content": b"1", "headers": {"content-type": "text/plain"}}, 415, [], "text/plain"),
    ],
)
async def test_what_is_wrong_is_said_at_once(
    client, url: str, sent: dict, status: int, fields: list, said: str
) -> None:
    answer = await client.post(f"/t/{url}", **sent)
    assert answer.status_code == status, answer.text
    assert sorted(e["field"] for e in answer.json()["errors"]) == sorted(fields)
    assert said in answer.json()["detail"]


async def test_both_are_described(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    form = paths["/t/named"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["properties"] == {"what": {"$ref": "#/components/schemas/FieldError"}}
    assert form["schema"]["required"] == ["what"]
    assert form["schema"]["additionalProperties"]["format"] == "binary"
    assert form["encoding"] == {"what": {"contentType": "application/json"}}
    content = paths["/t/many"]["post"]["requestBody"]["content"]
    assert list(content) == [WAV, "application/octet-stream", "multipart/form-data"]
    assert set(content["multipart/form-data"]["schema"]["properties"]) == set(ClassifyOptions.__struct_fields__)
    assert content["multipart/form-data"]["schema"]["additionalProperties"]["format"] == "binary"

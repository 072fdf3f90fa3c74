"""Many recordings in one request: each answered as alone, and what is wrong with one told in its place."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import pytest_asyncio

from contracts.problem import Problem
from contracts.speech import EmotionBatchResponse, EmotionResponse

with_client = pytest.mark.asyncio(loop_scope="module")
ONE = "/v1/speech/emotion"
PATH = f"{ONE}/batch"
WAV = "audio/wav"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(models_root: Path, open_suite) -> AsyncIterator[httpx.AsyncClient]:
    async with open_suite(models_root) as client:
        yield client


def parts(files: dict[str, bytes]) -> dict[str, Any]:
    return {name: (f"{name}.wav", file, WAV) for name, file in files.items()}


async def asked(client: httpx.AsyncClient, files: dict[str, Any], **options: str) -> EmotionBatchResponse:
    response = await client.post(PATH, files=files, data=options)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=EmotionBatchResponse)


@with_client
async def test_each_recording_is_answered_as_alone(client, make_voice) -> None:
    """Specification, section 10.1: beside recordings ten times as long the scores stay within 1e-4."""
    files = {f"v{seed}": make_voice(seed, 0.39 if seed % 3 else 3.9).file for seed in range(9)}
    answer = await asked(client, parts(files), top_k="2", embedding="true", segments="true", window_s="0.5")
    assert [item.name for item in answer.items] == list(files)
    for item, file in zip(answer.items, files.values(), strict=True):
        params = {"top_k": 2, "embedding": "true", "segments": "true", "window_s": 0.5}
        response = await client.post(ONE, content=file, headers={"content-type": WAV}, params=params)
        alone = msgspec.json.decode(response.content, type=EmotionResponse)
        assert item.answer
        assert item.problem is None
        assert list(item.answer.scores) == list(alone.scores)
        assert item.answer.scores == pytest.approx(alone.scores, abs=1e-4)
        assert item.answer.embedding == pytest.approx(alone.embedding, abs=1e-4)
        assert item.answer.segments
        assert alone.segments
        for one, other in zip(item.answer.segments, alone.segments, strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-4)
    assert (answer.model, answer.version, answer.use) == ("speech-emotion", 1, "open")


@with_client
async def test_what_is_wrong_with_one_fails_no_other(client, make_voice, encode) -> None:
    good, quiet = make_voice(1), encode(np.zeros(16_000, np.int16))
    files = parts({"first": good.file, "words": b"no sound", "cut": good.file[:3000], "silent": quiet})
    files |= {"film": ("f.mp4", good.file, "video/mp4"), "untyped": ("f.bin", good.file, "")}
    files |= parts({"none": b"", "short": make_voice(2, 0.25).file, "large": b"\0" * (32 * 1024 * 1024 + 1)})
    files |= parts({"last": good.file})
    answer = await asked(client, files)
    found = {item.name: item for item in answer.items}
    assert list(found) == list(files)
    assert {name: item.problem.status for name, item in found.items() if item.problem} == {
        "words": 415, "cut": 400, "silent": 422, "film": 415, "untyped": 415, "none": 400, "short": 422, "large": 413
    }  # fmt: skip
    for name, said in (("film", "video/mp4"), ("large", "33554432"), ("none", "empty"), ("short", "0.25 s")):
        problem = found[name].problem
        assert problem
        assert found[name].answer is None
        assert said in problem.detail
        assert problem.detail.startswith(name)
        assert (problem.instance, problem.request_id) == (PATH, answer.request_id)
    assert found["first"].answer
    assert found["first"].answer == found["last"].answer


@with_client
async def test_one_recording_may_be_the_body_and_have_a_transcript(client, make_voice) -> None:
    file = make_voice(3).file
    headers, params = {"content-type": WAV}, {"model": "speech-reader", "text": "thank you"}
    raw = await client.post(PATH, content=file, headers=headers, params=params)
    (item,) = msgspec.json.decode(raw.content, type=EmotionBatchResponse).items
    alone = (await client.post(ONE, content=file, headers=headers, params=params)).json()
    assert item.name == "file"
    assert item.answer
    assert item.answer.text_used
    assert item.answer.scores == pytest.approx(alone["scores"], abs=1e-5)


@pytest.mark.parametrize(
    ("names", "options", "status", "fields", "said"),
    [
        (["a", "b"], {"text": "thank you"}, 422, ["text"], "one recording"),
        (["a", "b"], {"text": ""}, 422, ["text"], "one recording"),
        (["a", "b", "a"], {}, 422, ["form.a"], "more than once"),
        (["a" * 201], {}, 422, ["form." + "a" * 200], "printable name"),
        ([], {"top_k": "1"}, 422, ["form"], "holds no file"),
        ([f"v{at}" for at in range(33)], {}, 422, ["form"], "at most 32"),
        (["a"], {"top": "1"}, 422, ["form.top"], "known: "),
        (["a"], {"top_k": "x"}, 422, ["form.top_k"], "Expected `int`"),
        (["a", "b"], {"model": "nobody"}, 404, [], "nobody"),
        (["a", "b"], {"model": "deaf"}, 422, ["model"], "names no emotion in speech"),
        (["a", "b"], {"segments": "true", "window_s": "5"}, 422, ["window_s"], "at most 4 s"),
    ],
)
@with_client
async def test_what_is_wrong_with_the_form_fails_it(client, make_voice, names, options, status, fields, said) -> None:
    file = make_voice(1, 0.4).file
    files = [(name, (name, file, WAV)) for name in names] or [("top_k", ("k", b"1", "text/plain"))]
    response = await client.post(PATH, files=files, data=options if names else {})
    assert response.status_code == status, response.text
    problem = msgspec.json.decode(response.content, type=Problem)
    assert [error.field for error in problem.errors] == fields
    assert said in problem.detail


@with_client
async def test_a_body_over_the_limit_of_all_is_refused(client) -> None:
    files = parts(dict.fromkeys("abc", b"\x00" * (31 * 1024 * 1024)))
    assert (await client.post(PATH, files=files)).status_code == 413

"""The vision route over the whole app: real HTTP parsing, a real repository, a real ONNX Runtime."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.settings import Settings
from contracts.examples import EXAMPLES
from contracts.models import ImageInput, ModelCard
from contracts.problem import Problem
from contracts.tensors import Signature
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse, fff_signature
from deploy.app import create_app

PATH = "/v1/vision/classify"
NAME = ClassifyOptions().model
LABELS = tuple("abcdefghij")
WEIGHTS = np.random.default_rng(5).standard_normal((784, 10)).astype(np.float32)
PNG, JPEG = {"content-type": "image/png"}, {"content-type": "image/jpeg"}


def picture(seed: int, kind: str = "PNG", size: tuple[int, int] = (28, 28)) -> bytes:
    out = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)).save(out, kind)
    return out.getvalue()


def graph(signature: Signature) -> onnx.ModelProto:
    """logits = pixels @ WEIGHTS, leaf = the best label, path_margin = the largest absolute logit."""
    nodes = [
        helper.make_node("MatMul", ["pixels", "w"], ["logits"]),
        helper.make_node("ArgMax", ["logits"], ["leaf"], axis=1, keepdims=0),
        helper.make_node("Abs", ["logits"], ["size"]),
        helper.make_node("ReduceMax", ["size", "last"], ["path_margin"], keepdims=0),
    ]
    ends = [
        [
            helper.make_tensor_value_info(t.name, helper.np_dtype_to_tensor_dtype(np.dtype(t.dtype)), t.dims)
            for t in side
        ]
        for side in (signature.inputs, signature.outputs)
    ]
    weights = [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(np.array([1]), "last")]
    body = helper.make_graph(nodes, "linear", *ends, weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one linear classifier under the default name, and one model that takes no pictures."""
    folder = tmp_path_factory.mktemp("models")
    signature = fff_signature(784, 10)
    onnx.save(graph(signature), folder / "linear.onnx")
    pixels = np.ones((2, 784), np.float32)
    logits = pixels @ WEIGHTS
    outputs = {"logits": logits, "leaf": logits.argmax(1), "path_margin": np.abs(logits).max(1)}
    write_golden(folder / "golden.npz", {"pixels": pixels}, outputs)
    example = next(e for e in EXAMPLES if isinstance(e, ModelCard))
    draft = msgspec.structs.replace(
        example, **DRAFT, labels=LABELS, image=ImageInput(height=28, width=28, channels=1), golden_tolerance=1e-3
    )
    repository = Repository(folder / "repository")
    repository.publish(draft, folder / "linear.onnx", folder / "golden.npz")
    blind = msgspec.structs.replace(draft, name="blind", image=None)
    repository.publish(blind, folder / "linear.onnx", folder / "golden.npz")
    return repository.root


@pytest.fixture
async def client(root: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(models=str(root), access_log=False))
    async with lifespan(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as client:
        yield client


class lifespan:  # noqa: N801
    """Runs an ASGI application's lifespan around a block."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._in: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._out: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._app({"type": "lifespan", "state": {}}, self._in.get, self._out.put))
        await self._in.put({"type": "lifespan.startup"})
        assert (await self._out.get())["type"] == "lifespan.startup.complete"

    async def __aexit__(self, *_: object) -> None:
        await self._in.put({"type": "lifespan.shutdown"})
        assert (await self._out.get())["type"] == "lifespan.shutdown.complete"
        await self._task


def expected(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities, computed without the suite."""
    pixels = np.asarray(Image.open(BytesIO(data)).convert("L"), np.float32).reshape(-1) / 255
    logits = pixels @ WEIGHTS
    exp = np.exp(logits - logits.max())
    return logits, exp / exp.sum()


@pytest.mark.parametrize("seed", range(3))
async def test_the_answer_is_the_graphs(client: httpx.AsyncClient, seed: int) -> None:
    data = picture(seed)
    response = await client.post(PATH, content=data, headers=PNG | {"x-request-id": "abc"}, params={"top_k": 3})
    assert response.status_code == 200
    answer = msgspec.json.decode(response.content, type=ClassifyResponse)
    logits, scores = expected(data)
    order = np.argsort(-scores)[:3]
    assert answer.label == LABELS[order[0]]
    assert [s.label for s in answer.scores] == [LABELS[i] for i in order]
    np.testing.assert_allclose([s.score for s in answer.scores], scores[order], rtol=1e-4, atol=1e-6)
    assert answer.leaf == logits.argmax()
    assert answer.path_margin == pytest.approx(np.abs(logits).max(), rel=1e-4)
    assert (answer.model, answer.version, answer.request_id) == (NAME, 1, "abc")
    assert response.headers["x-request-id"] == "abc"


async def test_a_form_answers_as_the_raw_body_does(client: httpx.AsyncClient) -> None:
    data = picture(9)
    raw = await client.post(PATH, content=data, headers=PNG, params={"top_k": 2, "invert": "true"})
    form = await client.post(PATH, files={"image": ("p.png", data, "image/png")}, data={"top_k": "2", "invert": "true"})
    left, right = raw.json(), form.json()
    assert left.pop("request_id") != right.pop("request_id")
    assert left == right


async def test_jpeg_of_another_size(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, content=picture(1, "JPEG", (300, 400)), headers=JPEG)
    assert response.status_code == 200
    assert response.json()["label"] in LABELS


async def test_a_large_picture_is_decoded_beside_the_event_loop_to_the_same_answer(client: httpx.AsyncClient) -> None:
    large = np.kron(np.random.default_rng(3).integers(0, 256, (28, 28), dtype=np.uint8), np.ones((30, 30), np.uint8))
    out = BytesIO()
    Image.fromarray(large).save(out, "PNG")
    answers = await asyncio.gather(*(client.post(PATH, content=out.getvalue(), headers=PNG) for _ in range(4)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.json()["label"] for a in answers}) == 1


@pytest.mark.parametrize(
    ("content", "headers", "params", "status", "said"),
    [
        (b"", PNG, {}, 400, "empty"),
        (picture(0)[:60], PNG, {}, 400, "send the file again"),
        (b"GIF89a....", PNG, {}, 415, "neither PNG nor JPEG"),
        (picture(0), {"content-type": "image/gif"}, {}, 415, "image/gif"),
        (picture(0), PNG, {"top_k": 0}, 422, "query.top_k"),
        (picture(0), PNG, {"colour": "red"}, 422, "query.colour"),
        (picture(0), PNG, {"model": "nobody"}, 404, "nobody"),
        (picture(0), PNG, {"model": f"{NAME}@7"}, 404, "'7'"),
        (picture(0), PNG, {"model": "blind"}, 422, "does not take pictures"),
        (b"\0" * (10 * 1024 * 1024 + 1), PNG, {}, 413, "10485760"),
    ],
)
async def test_what_is_wrong_is_said(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], params: dict[str, Any], status: int, said: str
) -> None:
    response = await client.post(PATH, content=content, headers=headers, params=params)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = msgspec.json.decode(response.content, type=Problem)
    assert problem.status == status
    assert said in problem.detail
    after = await client.post(PATH, content=picture(0), headers=PNG)
    assert after.status_code == 200


async def test_a_pixel_bomb_is_refused(client: httpx.AsyncClient) -> None:
    out = BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    response = await client.post(PATH, content=out.getvalue(), headers=PNG)
    assert response.status_code == 413
    assert "10000 x 10000" in response.json()["detail"]


async def test_what_is_published_serves_after_load_and_what_is_broken_does_not(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(root, folder)
    app = create_app(Settings(models=str(folder), access_log=False))
    async with lifespan(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as client:

        async def version() -> int:
            return (await client.post(PATH, content=picture(0), headers=PNG)).json()["version"]

        card = Repository(folder).load(NAME, 1).card
        for number in (2, 3):
            v1 = folder / NAME / "1"
            Repository(folder).publish(card, v1 / "model.onnx", v1 / "golden.npz")
            if number == 3:
                (folder / NAME / "3" / "model.onnx").write_bytes(b"not a graph")
            assert await version() == number - 1
            loaded = await client.post(f"/v2/repository/models/{NAME}/load")
            assert loaded.status_code == (200 if number == 2 else 503)
        assert "version 3 was refused" in loaded.json()["error"]
        assert await version() == 2
        assert (await client.get("/readyz")).status_code == 200


def test_predict_answers_without_a_server(root: Path, tmp_path: Path) -> None:
    from common.errors import OperatorError
    from vision_nlp.service import predict

    file = tmp_path / "picture.png"
    file.write_bytes(picture(2))
    answer = predict(file=file, models=root)
    assert answer.label == LABELS[int(expected(picture(2))[0].argmax())]
    with pytest.raises(OperatorError, match="cannot read"):
        predict(file=tmp_path / "none.png", models=root)
    file.write_bytes(b"no picture")
    with pytest.raises(OperatorError, match="neither PNG nor JPEG"):
        predict(file=file, models=root)

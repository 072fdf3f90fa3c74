"""The vision route over the whole app: real HTTP parsing, a real repository, a real ONNX Runtime."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import pytest
import pytest_asyncio
from onnx import helper, numpy_helper
from PIL import Image

from common.errors import NotReady
from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.examples import EXAMPLES
from contracts.models import ImageInput, ModelCard
from contracts.problem import Problem
from contracts.tensors import Signature
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse, fff_signature
from vision_nlp.service import Classifier

Suite = Callable[[Path], AbstractAsyncContextManager[httpx.AsyncClient]]

with_client = pytest.mark.asyncio(loop_scope="module")
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(root: Path, suite: Suite) -> AsyncIterator[httpx.AsyncClient]:
    async with suite(root) as client:
        yield client


def expected(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities, computed without the suite."""
    pixels = np.asarray(Image.open(BytesIO(data)).convert("L"), np.float32).reshape(-1) / 255
    logits = pixels @ WEIGHTS
    exp = np.exp(logits - logits.max())
    return logits, exp / exp.sum()


@pytest.mark.parametrize("seed", range(3))
@with_client
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


@with_client
async def test_a_form_answers_as_the_raw_body_does(client: httpx.AsyncClient) -> None:
    data = picture(9)
    raw = await client.post(PATH, content=data, headers=PNG, params={"top_k": 2, "invert": "true"})
    form = await client.post(PATH, files={"image": ("p.png", data, "image/png")}, data={"top_k": "2", "invert": "true"})
    left, right = raw.json(), form.json()
    assert left.pop("request_id") != right.pop("request_id")
    assert left == right


@with_client
async def test_jpeg_of_another_size(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, content=picture(1, "JPEG", (300, 400)), headers=JPEG)
    assert response.status_code == 200
    assert response.json()["label"] in LABELS


@with_client
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
@with_client
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


@with_client
async def test_a_pixel_bomb_is_refused(client: httpx.AsyncClient) -> None:
    out = BytesIO()
    Image.new("1", (10_000, 10_000)).save(out, "PNG")
    response = await client.post(PATH, content=out.getvalue(), headers=PNG)
    assert response.status_code == 413
    assert "10000 x 10000" in response.json()["detail"]


async def test_what_is_published_serves_after_load_and_what_is_broken_does_not(
    root: Path, tmp_path: Path, suite: Suite
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(root, folder)
    async with suite(folder) as client:

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged(toy_root: Path, suite: Suite) -> AsyncIterator[httpx.AsyncClient]:
    """Over the network of four blocks whose stages end after 1, 2 and 4."""
    async with suite(toy_root) as client:
        yield client


def toy_scores(toy: Any, data: bytes) -> np.ndarray:
    """Probabilities of every sub-network, computed without the suite: (5, 4)."""
    pixels = np.asarray(Image.open(BytesIO(data)), np.float32).reshape(1, -1) / 255
    exp = np.exp(toy.all(pixels)[:, 0])
    return exp / exp.sum(1, keepdims=True)


def nats(scores: np.ndarray) -> float:
    return float(-(scores * np.log(scores)).sum())


@pytest.mark.parametrize(("asked", "depth"), [(None, 4), (1, 1), (2, 2), (4, 4)])
@with_client
async def test_a_staged_model_answers_at_the_depth_that_is_asked(
    staged: httpx.AsyncClient, toy: Any, asked: int | None, depth: int
) -> None:
    data = picture(4, size=(4, 4))
    scores = toy_scores(toy, data)[depth]
    params = {"model": "acn-toy", "top_k": 4, **({} if asked is None else {"depth": asked})}
    response = await staged.post(PATH, content=data, headers=PNG, params=params)
    assert response.status_code == 200
    answer = msgspec.json.decode(response.content, type=ClassifyResponse)
    assert (answer.depth, answer.model, answer.version) == (depth, "acn-toy", 1)
    assert answer.label == "abcd"[scores.argmax()]
    np.testing.assert_allclose({s.label: s.score for s in answer.scores}["a"], scores[0], rtol=1e-4, atol=1e-6)
    assert answer.entropy == pytest.approx(nats(scores), abs=1e-4)
    assert "infer;dur=" in response.headers["server-timing"]


@pytest.mark.parametrize("seed", range(4))
@with_client
async def test_a_staged_model_leaves_at_the_first_certain_depth(staged: httpx.AsyncClient, toy: Any, seed: int) -> None:
    data = picture(seed, size=(4, 4))
    scores = toy_scores(toy, data)
    for threshold in (0.0, 0.3, 0.6, 0.9, 50.0):
        depth = next((d for d in (1, 2) if nats(scores[d]) < threshold), 4)
        form = {"model": "acn-toy", "exit_entropy": str(threshold)}
        response = await staged.post(PATH, files={"image": ("p.png", data, "image/png")}, data=form)
        assert response.json()["depth"] == depth
        assert response.json()["entropy"] == pytest.approx(nats(scores[depth]), abs=1e-4)


@pytest.mark.parametrize(
    ("params", "field", "said"),
    [
        ({"depth": 3}, "depth", "1, 2, 4"),
        ({"depth": 5}, "depth", "1, 2, 4"),
        ({"depth": 0}, "query.depth", ">= 1"),
        ({"depth": 1, "exit_entropy": 0.5}, "exit_entropy", "together with depth"),
        ({"exit_entropy": "nan"}, "query.exit_entropy", ">= 0.0"),
        ({"exit_entropy": "inf"}, "query.exit_entropy", "<= 100.0"),
        ({"exit_entropy": -0.1}, "query.exit_entropy", ">= 0.0"),
        ({"depth": 1, "model": "acn-toy-to-1"}, "model", "does not take pictures"),
    ],
)
@with_client
async def test_what_a_staged_model_cannot_be_asked(
    staged: httpx.AsyncClient, params: dict[str, Any], field: str, said: str
) -> None:
    data = picture(0, size=(4, 4))
    response = await staged.post(PATH, content=data, headers=PNG, params={"model": "acn-toy"} | params)
    assert response.status_code == 422
    problem = msgspec.json.decode(response.content, type=Problem)
    assert [error.field for error in problem.errors] == [field]
    assert said in problem.errors[0].message


@with_client
async def test_a_model_without_stages_has_neither_depth_nor_entropy(client: httpx.AsyncClient) -> None:
    answer = (await client.post(PATH, content=picture(0), headers=PNG)).json()
    assert (answer["depth"], answer["entropy"]) == (None, None)
    for params in ({"depth": 2}, {"exit_entropy": 0.4}):
        response = await client.post(PATH, content=picture(0), headers=PNG, params=params)
        assert response.status_code == 422
        assert f"{NAME!r} has no stages" in response.json()["detail"]


async def test_all_blocks_need_no_stage(toy_root: Path) -> None:
    models = Models(Repository(toy_root), LocalBackend(threads=1, device="cpu"), names=["acn-toy"])
    await models.start()
    data = picture(4, size=(4, 4))
    whole = await Classifier(models).classify(data, ClassifyOptions(model="acn-toy", depth=4), Call())
    assert whole.depth == 4
    with pytest.raises(NotReady, match="stage acn-toy-to-1@1"):
        await Classifier(models).classify(data, ClassifyOptions(model="acn-toy", depth=2), Call())
    await models.stop(drain=0.0)


def test_predict_needs_no_stage(toy: Any, toy_root: Path, tmp_path: Path) -> None:
    from vision_nlp.acn.predict import predict

    file = tmp_path / "picture.png"
    file.write_bytes(picture(2, size=(4, 4)))
    answer = predict(file=file, models=toy_root, model="acn-toy")
    assert answer.label == "abcd"[toy_scores(toy, picture(2, size=(4, 4)))[4].argmax()]
    assert answer.depth == 4


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

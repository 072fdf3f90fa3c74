"""The text route over the whole app: a real tokenizer, a real graph, and the same arithmetic in numpy."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import onnx
import pytest
import pytest_asyncio
from onnx import TensorProto, helper, numpy_helper
from scipy.special import expit
from tokenizers import Tokenizer

from common.errors import BackendFault, OperatorError, Unknown
from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.text.tokenizer import learn_tokenizer
from contracts.examples import EXAMPLES
from contracts.models import Limits, ModelCard, TextInput
from contracts.problem import Problem
from contracts.text import EmotionsRequest, EmotionsResponse, text_signature
from vision_nlp.emotions import INLINE_CHARACTERS, Emotions, predict

with_client = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/text/emotions"
LABELS, THRESHOLDS = ("joy", "anger", "grief"), (0.5, 0.3, 0.7)
MOST, VOCABULARY = 12, 300
WORDS = ("glad", "angry", "sad", "thank", "you", "never", "again", "rain", "sun")
TEXTS = ("glad glad sun", "rain", "thank you so much sun", "never again, angry!", "sad sad rain never", "you")
TABLE = np.random.default_rng(4).normal(0, 0.6, (VOCABULARY, 3)).astype(np.float32)


def tokenizer(order: int = 1) -> Tokenizer:
    """Another order of the words is another vocabulary."""
    return learn_tokenizer([" ".join(WORDS[::order])] * 3 + ["sun"] * order * 5, VOCABULARY)


def graph() -> onnx.ModelProto:
    """logits = the sum of TABLE[id] over the tokens under the mask."""
    signature = text_signature(3)
    kinds = {"int64": TensorProto.INT64, "bool": TensorProto.BOOL, "float32": TensorProto.FLOAT}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "along"], ["logits"], keepdims=0),
    ]
    ends = [
        [helper.make_tensor_value_info(t.name, kinds[t.dtype], t.dims) for t in side]
        for side in (signature.inputs, signature.outputs)
    ]
    constants = {"table": TABLE, "last": np.array([2]), "along": np.array([1])}
    weights = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    body = helper.make_graph(nodes, "sum", *ends, weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def publish(root: Path, order: int = 1, **changes: Any) -> None:
    root.mkdir(exist_ok=True)
    onnx.save(graph(), root / ".graph.onnx")
    ids = np.array([[5, 6, 7], [8, 0, 0]])
    mask = np.array([[True, True, True], [True, False, False]])
    write_golden(root / ".golden.npz", {"ids": ids, "mask": mask}, {"logits": (TABLE[ids] * mask[..., None]).sum(1)})
    example = next(e for e in EXAMPLES if isinstance(e, ModelCard))
    made = {
        **DRAFT,
        "name": "emotions-acn",
        "task": "text-classification",
        "signature": text_signature(3),
        "image": None,
        "text": TextInput(tokenizer="tokenizer.json", max_tokens=MOST),
        "labels": LABELS,
        "thresholds": THRESHOLDS,
        "limits": Limits(max_rows=2, max_cost=24),
    }
    draft = msgspec.structs.replace(example, **{**made, **changes})
    files = {"tokenizer.json": tokenizer(order).to_str().encode()}
    Repository(root).publish(draft, root / ".graph.onnx", root / ".golden.npz", files)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    publish(folder)
    publish(folder, name="no-text", text=None)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(
    root: Path, suite: Callable[[Path], AbstractAsyncContextManager[httpx.AsyncClient]]
) -> AsyncIterator[httpx.AsyncClient]:
    async with suite(root) as client:
        yield client


def expected(text: str, order: int = 1) -> np.ndarray:
    """Probabilities, computed without the suite."""
    ids = tokenizer(order).encode(text, add_special_tokens=False).ids
    return expit(TABLE[ids].sum(0).astype(np.float64))


@with_client
async def test_each_text_is_answered_alone(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={"texts": TEXTS}, headers={"x-request-id": "abc"})
    assert response.status_code == 200
    answer = msgspec.json.decode(response.content, type=EmotionsResponse)
    assert (answer.model, answer.version, answer.request_id) == ("emotions-acn", 1, "abc")
    assert len(answer.answers) == len(TEXTS)
    found = set()
    for text, one in zip(TEXTS, answer.answers, strict=True):
        p = expected(text)
        assert [s.label for s in one.scores] == list(LABELS)
        np.testing.assert_allclose([s.score for s in one.scores], p, atol=1e-5)
        on = [i for i in np.argsort(-p) if p[i] >= THRESHOLDS[i]]
        assert list(one.labels) == [LABELS[i] for i in on]
        assert one.tokens == len(tokenizer().encode(text, add_special_tokens=False).ids)
        found.add(len(on))
    assert len(found) > 1  # not every text has as many labels
    timing = response.headers["server-timing"]
    assert "decode;dur=" in timing
    assert "infer;dur=" in timing


async def test_texts_are_packed_into_what_one_execution_may_have(root: Path) -> None:
    models = Models(Repository(root), LocalBackend(threads=1, device="cpu"))
    await models.start()
    before = models.stats()["emotions-acn@1"]
    answer = await Emotions(models).name(EmotionsRequest(texts=TEXTS * 3), Call())
    after = models.stats()["emotions-acn@1"]
    await models.stop(drain=0.0)
    assert after.rows - before.rows == 18
    assert 9 <= after.batches - before.batches <= 18  # two rows each at most
    assert answer.answers[:6] == answer.answers[6:12] == answer.answers[12:]


@with_client
async def test_long_texts_are_read_beside_the_event_loop_to_the_same_answer(client: httpx.AsyncClient) -> None:
    spaced = " " * (INLINE_CHARACTERS + 1) + "glad" + "\n" * 50 + "sun"
    answers = (await client.post(PATH, json={"texts": [spaced, "glad sun"]})).json()["answers"]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("body", "status", "fields", "said"),
    [
        ({"texts": ["glad", " \t\n", "sun", "rain " * 13]}, 422, ["texts[1]", "texts[3]"], "at most 12"),
        ({"texts": ["glad", ""]}, 422, ["texts[1]"], "length >= 1"),
        ({"texts": ["glad", "x" * 8001]}, 422, ["texts[1]"], "length <= 8000"),
        ({"texts": []}, 422, ["texts"], "length >= 1"),
        ({"texts": ["glad"] * 65}, 422, ["texts"], "length <= 64"),
        ({"texts": ["glad"], "model": "no-text"}, 422, ["model"], "names no emotions"),
        ({"texts": ["glad"], "model": "nobody"}, 404, [], "nobody"),
        ({"text": "glad"}, 422, ["text"], "unknown"),
    ],
)
@with_client
async def test_what_is_wrong_is_said(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, fields: list[str], said: str
) -> None:
    response = await client.post(PATH, json=body)
    assert response.status_code == status
    problem = msgspec.json.decode(response.content, type=Problem)
    assert [error.field for error in problem.errors] == fields
    assert said in problem.detail


@with_client
async def test_odd_characters(client: httpx.AsyncClient) -> None:
    assert (await client.post(PATH, json={"texts": ["\U0001f600 sun\ufeff", "\u00df\u0130"]})).status_code == 200
    control = await client.post(PATH, json={"texts": ["sun", "\u0000\u0001"]})
    assert [error["field"] for error in control.json()["errors"]] == ["texts[1]"]
    lone = rb'{"texts": ["\ud800 sun"]}'
    assert (await client.post(PATH, content=lone, headers={"content-type": "application/json"})).status_code == 400


async def test_a_new_version_brings_its_own_tokenizer(
    tmp_path: Path, suite: Callable[[Path], AbstractAsyncContextManager[httpx.AsyncClient]]
) -> None:
    publish(tmp_path)
    assert not np.allclose(expected("glad sun"), expected("glad sun", order=-1), atol=1e-3)
    async with suite(tmp_path) as client:
        for version, order in ((1, 1), (2, -1)):
            if version == 2:
                publish(tmp_path, order)
                assert (await client.post("/v2/repository/models/emotions-acn/load")).status_code == 200
            answer = (await client.post(PATH, json={"texts": ["glad sun"]})).json()
            assert answer["version"] == version
            scores = [s["score"] for s in answer["answers"][0]["scores"]]
            np.testing.assert_allclose(scores, expected("glad sun", order), atol=1e-5)


async def test_a_reload_between_reading_and_running_keeps_one_version(tmp_path: Path) -> None:
    publish(tmp_path)
    models = Models(Repository(tmp_path), LocalBackend(threads=1, device="cpu"))
    await models.start()
    long = "glad sun" + " " * INLINE_CHARACTERS  # read in a thread: the event loop goes on meanwhile
    task = asyncio.create_task(Emotions(models).name(EmotionsRequest(texts=(long,)), Call()))
    await asyncio.sleep(0)
    publish(tmp_path, -1)
    await models.reload("emotions-acn")
    answer = await task
    await models.stop(drain=0.0)
    assert answer.version == 1
    np.testing.assert_allclose([s.score for s in answer.answers[0].scores], expected("glad sun"), atol=1e-5)


async def test_numbers_that_are_not_finite_are_the_models_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(Repository(root), LocalBackend(threads=1, device="cpu"))
    await models.start()

    async def broken(*_: object) -> dict[str, np.ndarray]:
        return {"logits": np.full((1, 3), np.nan, np.float32)}

    monkeypatch.setattr(models.served("emotions-acn").engine, "infer", broken)
    with pytest.raises(BackendFault, match=r"emotions-acn@1 answered with numbers that are not finite"):
        await Emotions(models).name(EmotionsRequest(texts=("sun",)), Call())
    await models.stop(drain=0.0)


def test_predicts_a_file_line_by_line(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    found = predict(file=file, models=root)
    assert (found.model, found.version) == ("emotions-acn", 1)
    for text, answer in zip(TEXTS, found.answers, strict=True):
        np.testing.assert_allclose([s.score for s in answer.scores], expected(text), atol=1e-5)
    file.write_text("glad\n\nsun\n" + "rain " * 13 + "\n")
    with pytest.raises(OperatorError, match=r"texts\.txt: line 2: is empty.*line 4: has 13 tokens"):
        predict(file=file, models=root)
    with pytest.raises(OperatorError, match=r"cannot read .*none\.txt"):
        predict(file=tmp_path / "none.txt", models=root)
    with pytest.raises(Unknown, match="no model 'other'"):
        predict(file=file, models=root, model="other")

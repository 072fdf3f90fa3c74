"""The published version: graph, tokenizer and card; and answers through the code that the server runs."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest

from common.errors import Invalid, OperatorError, Unknown
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.text.features import pad, probabilities, tokens
from common.text.sample import sampler
from common.training.run import open_run
from contracts.text import TOKENS, text_signature
from deploy import SHIPPED
from llm_studies.reference.config import Config
from llm_studies.reference.evaluate import Trained
from llm_studies.reference.export import export
from llm_studies.reference.features import Reference, predict

MODEL = "generated-reference"


@pytest.fixture(scope="module")
def session(version: Version) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(version.graph, providers=["CPUExecutionProvider"])


@pytest.fixture
async def reference(version: Version) -> AsyncIterator[Reference]:
    models = Models(Repository(version.folder.parents[1]), LocalBackend(threads=1, device="cpu"))
    await models.start()
    yield Reference(models)
    await models.stop(drain=0.0)


def logits(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(session.run(["logits"], inputs)[0])


def test_published_graph_answers_as_the_trained_network_does(
    opened: Trained, session: onnxruntime.InferenceSession
) -> None:
    items = opened.corpus.split("test")
    inputs = pad([tokens(opened.tokenizer, item.text, 40) for item in items])
    np.testing.assert_allclose(probabilities(logits(session, inputs)), opened.probabilities(items), atol=1e-5)


@pytest.mark.parametrize("longest", [1, 2, 13, 40])
def test_a_row_alone_equals_the_row_in_a_padded_batch(
    opened: Trained, session: onnxruntime.InferenceSession, longest: int
) -> None:
    inputs = sampler(opened.model.vocabulary)({"batch": 9, TOKENS: longest})
    together = logits(session, inputs)
    for row, mask in enumerate(inputs["mask"]):
        alone = logits(session, {"ids": inputs["ids"][[row]][:, mask], "mask": mask[None, mask]})
        np.testing.assert_allclose(together[[row]], alone, atol=1e-5)


def test_card_says_what_a_user_must_know(version: Version, config: Config, opened: Trained) -> None:
    card = version.card
    assert (card.name, card.version, card.system, card.use) == (MODEL, 1, "reference", "open")
    assert (card.task, card.labels) == ("text-classification", opened.corpus.labels)
    assert card.signature == text_signature(7)
    assert card.text is not None
    assert (card.text.tokenizer, card.text.max_tokens) == ("tokenizer.json", 40)
    assert len(card.thresholds) == 7
    assert all(0 < threshold < 1 for threshold in card.thresholds)
    assert {"micro_f1", "macro_f1", "js", "bag_of_words_micro_f1", "always_none_js"} <= {m.name for m in card.metrics}
    assert card.properties["parity_logits"] < 1e-4  # pyright: ignore[reportOperatorIssue]
    assert card.lineage.config == msgspec.to_builtins(config)
    words = next(m.value for m in card.metrics if (m.name, m.split) == ("bag_of_words_micro_f1", "test"))
    assert f"micro-F1 {words:.3f} on the same texts" in card.caveats[-1]
    assert card.files.keys() == {"tokenizer.json"}


def test_a_changed_tokenizer_is_not_served(version: Version, tmp_path: Path) -> None:
    root = tmp_path / "models"
    shutil.copytree(version.folder.parents[1], root)
    path = root / MODEL / "1" / "tokenizer.json"
    path.write_text(path.read_text().replace("[NAME]", "[EMAN]"))
    with pytest.raises(OperatorError, match=r"tokenizer\.json is not the file of card\.json's files"):
        Repository(root).load(MODEL, 1)


def test_refuses_a_run_without_figures(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    manifest = msgspec.structs.replace(open_run(run, "reference").manifest, metrics=())
    (run / "run.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(OperatorError, match="kithara evaluate reference"):
        export(run=run, models=tmp_path / "models")
    assert not (tmp_path / "models").exists()


async def test_the_server_gives_the_labels_that_evaluation_counted(
    trained: Path, opened: Trained, reference: Reference, version: Version
) -> None:
    items = opened.corpus.split("test")[:20]
    expected = opened.probabilities(items)
    for item, row in zip(items, expected, strict=True):
        answer, card = await reference.classify(item.text, Call(), MODEL)
        assert card == version.card
        assert list(answer.probabilities) == list(opened.corpus.labels)
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=1e-5)
        on = [name for name, p, t in zip(card.labels, row, card.thresholds, strict=True) if p >= t]
        assert list(answer.labels) == on


@pytest.mark.parametrize(("text", "message"), [(" \n", "text: is empty"), ("a" * 8001, "at most 8000")])
async def test_a_bad_text_is_named(reference: Reference, text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        await reference.classify(text, Call(), MODEL)


async def test_a_model_that_takes_no_text_is_named() -> None:
    models = Models(Repository(SHIPPED), LocalBackend(threads=1, device="cpu"), names=["fff-digits"])
    await models.start()
    try:
        with pytest.raises(Invalid, match="model: task is image-classification"):
            await Reference(models).classify("calm", Call(), "fff-digits")
    finally:
        await models.stop(drain=0.0)


def test_predicts_a_file_line_by_line(opened: Trained, version: Version, tmp_path: Path) -> None:
    items = opened.corpus.split("test")[:3]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(item.text for item in items) + "\n")
    root = version.folder.parents[1]
    found = predict(file=file, models=root, model=MODEL)
    assert (found.model, found.version, len(found.answers)) == (MODEL, 1, 3)
    for answer, row in zip(found.answers, opened.probabilities(items), strict=True):
        np.testing.assert_allclose(list(answer.probabilities.values()), row, atol=1e-5)
    file.write_text("calm\n\ncalm\n")
    with pytest.raises(OperatorError, match=r"texts\.txt, line 2: text: is empty"):
        predict(file=file, models=root, model=MODEL)
    with pytest.raises(OperatorError, match=r"cannot read .*none\.txt"):
        predict(file=tmp_path / "none.txt", models=root, model=MODEL)
    with pytest.raises(Unknown, match="no model 'emotions-reference'"):
        predict(file=file, models=root)

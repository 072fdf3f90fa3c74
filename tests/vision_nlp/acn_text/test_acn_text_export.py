"""The published version: the cut graph, tokenizer and card; and answers through the code that the server runs."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from common.errors import OperatorError
from common.registry.layout import Version
from common.text.features import TOKENIZER, pad, probabilities, read_tokenizer, tokens
from common.text.rows import Rows
from common.text.sample import sampler
from common.training.run import Run, open_run
from contracts.text import TOKENS, text_signature
from vision_nlp.acn_text.config import Config, Data, Model
from vision_nlp.acn_text.data import load, rows
from vision_nlp.acn_text.evaluate import load_learner
from vision_nlp.acn_text.export import export, name
from vision_nlp.acn_text.train import logits
from vision_nlp.emotions import predict

MODEL = "generated-emotions-acn"


@pytest.fixture(scope="module")
def session(version: Version) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(version.graph, providers=["CPUExecutionProvider"])


def asked(session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(session.run(["logits"], inputs)[0])


def at_cut(run: Run, config: Config) -> tuple[np.ndarray, Rows]:
    emotions = load(config, None)
    test = rows(emotions, emotions.split("test"), read_tokenizer(run.folder / TOKENIZER), config.tokens.longest)
    return logits(load_learner(run), test)[int(run.manifest.properties["cut"])], test


def test_published_graph_answers_as_the_cut_network_does(
    run: Run, config: Config, session: onnxruntime.InferenceSession
) -> None:
    expected, test = at_cut(run, config)
    ids, mask = test.batch(torch.arange(len(expected)))
    np.testing.assert_allclose(asked(session, {"ids": ids.numpy(), "mask": mask.numpy()}), expected, atol=1e-5)


@pytest.mark.parametrize("longest", [1, 2, 13, 40])
def test_a_row_alone_equals_the_row_in_a_padded_batch(
    run: Run, session: onnxruntime.InferenceSession, longest: int
) -> None:
    inputs = sampler(load_learner(run).embed.vocabulary)({"batch": 9, TOKENS: longest})
    together = asked(session, inputs)
    for row, mask in enumerate(inputs["mask"]):
        alone = asked(session, {"ids": inputs["ids"][[row]][:, mask], "mask": mask[None, mask]})
        np.testing.assert_allclose(together[[row]], alone, atol=1e-5)


def test_weights_of_the_blocks_that_went_are_not_in_the_file(run: Run, version: Version) -> None:
    cut = int(run.manifest.properties["cut"])
    network = load_learner(run).network.truncate(cut)
    held = sum(int(np.prod(t.dims)) for t in onnx.load(version.graph).graph.initializer)
    assert run.manifest.properties["parameters"] == sum(p.numel() for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) <= held + 330  # biases may be folded, never a block added
    whole = int(run.manifest.properties["parameters_whole"])
    block = sum(p.numel() for p in load_learner(run).network.blocks[0].parameters())
    assert whole - int(run.manifest.properties["parameters"]) == (3 - cut) * block
    assert held < int(run.manifest.properties["parameters"]) + block


def test_card_says_what_a_user_must_know(version: Version, config: Config, run: Run) -> None:
    card = version.card
    assert (card.name, card.version, card.system, card.use) == (MODEL, 1, "acn_text", "open")
    assert (card.task, card.labels) == ("text-classification", load(config, None).labels)
    assert card.signature == text_signature(6)
    assert card.text is not None
    assert (card.text.tokenizer, card.text.max_tokens) == (TOKENIZER, 40)
    assert len(card.thresholds) == 6
    assert card.properties["parity_logits"] < 1e-4  # pyright: ignore[reportOperatorIssue]
    assert (card.properties["layers"], card.properties["cut"]) == (3, run.manifest.properties["cut"])
    assert f"the first {card.properties['cut']} of the 3 blocks" in card.description
    assert card.lineage.config == msgspec.to_builtins(config)
    words = next(m.value for m in card.metrics if (m.name, m.split) == ("bag_of_words_micro_f1", "test"))
    assert f"micro-F1 {words:.3f} on the same texts" in card.caveats[-1]
    assert card.files.keys() == {TOKENIZER}


def test_a_file_is_answered_with_the_labels_that_evaluation_counted(
    version: Version, run: Run, config: Config, tmp_path: Path
) -> None:
    texts = load(config, None).split("test")[:20]
    (tmp_path / "texts.txt").write_text("\n".join(text.text for text in texts) + "\n")
    found = predict(file=tmp_path / "texts.txt", models=version.folder.parents[1], model=MODEL)
    p = probabilities(at_cut(run, config)[0][:20])
    for answer, row in zip(found.answers, p, strict=True):
        np.testing.assert_allclose([score.score for score in answer.scores], row, atol=1e-5)
        on = {label for label, x, t in zip(version.card.labels, row, version.card.thresholds, strict=True) if x >= t}
        assert set(answer.labels) == on


def test_a_text_over_the_limit_is_refused_where_training_cut_it(version: Version, run: Run, tmp_path: Path) -> None:
    text = "I was glad, " * 30
    tokenizer = read_tokenizer(run.folder / TOKENIZER)
    assert pad([tokens(tokenizer, text, 40)])["ids"].shape == (1, 40)
    (tmp_path / "texts.txt").write_text(text)
    with pytest.raises(OperatorError, match="the model reads at most 40"):
        predict(file=tmp_path / "texts.txt", models=version.folder.parents[1], model=MODEL)


def test_refuses_a_run_without_figures(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    manifest = msgspec.structs.replace(open_run(run, "acn_text").manifest, metrics=())
    (run / "run.json").write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(OperatorError, match="kithara evaluate acn_text"):
        export(run=run, models=tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Config(data=Data(name="goemotions")), "emotions-acn"),
        (Config(data=Data(name="goemotions"), model=Model(mode="residual")), "emotions-residual"),
        (Config(model=Model(mode="acn_dg")), "generated-emotions-acn-dg"),
    ],
)
def test_a_baseline_is_never_published_under_the_name_of_the_method(config: Config, expected: str) -> None:
    assert name(config) == expected

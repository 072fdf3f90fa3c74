"""The whole training on generated texts, a few epochs at a time."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score

from common.errors import OperatorError
from common.registry.cards import render
from common.text.figures import Figures
from common.text.rows import Rows
from common.text.thresholds import best_thresholds
from common.training import checkpoint
from common.training.run import open_run
from llm_studies.icl_priors.items import matrix
from llm_studies.reference import train as reference_train
from llm_studies.reference.config import Config, Data, Generated, Optim
from llm_studies.reference.data import load, rows, unseen
from llm_studies.reference.evaluate import PREDICTIONS, Trained, evaluate
from llm_studies.reference.train import scores, train


def run(out: Path, config: Config, resume: Path | None = None) -> Path:
    return train(config=config, data=None, out=out, resume=resume, command="kithara train reference")


def kept(folder: Path) -> bytes:
    """The selected weights and the tokenizer, byte for byte."""
    part = checkpoint.read(folder / "checkpoints/best-learn.safetensors").part("model")
    weights = b"".join(tensor.numpy().tobytes() for _, tensor in sorted(part.items()))
    return weights + (folder / "tokenizer.json").read_bytes()


def test_the_same_seed_gives_the_same_weights(trained: Path, config: Config, tmp_path: Path) -> None:
    assert kept(run(tmp_path, config)) == kept(trained)


@pytest.mark.parametrize("killed_at", [1, 7, 16, 144])
def test_a_killed_run_resumes_to_the_same_bits(
    trained: Path, config: Config, tmp_path: Path, killed: Callable[[int], AbstractContextManager[None]], killed_at: int
) -> None:
    """Before the first checkpoint, in the middle and at the end of an epoch, in the last step; dropout is on."""
    with killed(killed_at):
        run(tmp_path, config)
    (folder,) = (tmp_path / "reference").iterdir()
    torch.rand(5)
    assert run(tmp_path, config, resume=folder) == folder
    assert kept(folder) == kept(trained)


def test_the_test_split_chooses_nothing(
    trained: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reference_train.load

    def without_test(*args: object):
        corpus = whole(*args)  # pyright: ignore[reportArgumentType]
        return corpus._replace(items=corpus.split("train", "dev"))

    monkeypatch.setattr(reference_train, "load", without_test)
    folder = run(tmp_path, config)
    assert kept(folder) == kept(trained)


def test_it_learns(opened: Trained) -> None:
    test = opened.corpus.split("test")
    truth = matrix(test, "aggregate")
    dev = opened.corpus.split("dev")
    said = opened.probabilities(test) >= best_thresholds(opened.probabilities(dev), matrix(dev, "aggregate"))
    rates = matrix(opened.corpus.split("train"), "aggregate").mean(0)
    guess = np.random.default_rng(0).random(truth.shape) < rates
    assert f1_score(truth, said, average="micro") > f1_score(truth, guess, average="micro") + 0.2


def test_scores_do_not_depend_on_neighbours(opened: Trained, config: Config) -> None:
    items = opened.corpus.split("test")[:7]
    alone = np.concatenate([opened.probabilities([item]) for item in items])
    np.testing.assert_allclose(opened.probabilities(items), alone, atol=1e-6)


def test_figures_are_those_of_scikit_learn_under_the_thresholds_of_dev(trained: Path, opened: Trained) -> None:
    dev, test = opened.corpus.split("dev"), opened.corpus.split("test")
    figures = msgspec.json.decode((trained / "metrics.json").read_bytes(), type=Figures)
    thresholds = best_thresholds(opened.probabilities(dev), matrix(dev, "aggregate"))
    assert figures.thresholds == pytest.approx(tuple(thresholds.tolist()))
    said, truth = opened.probabilities(test) >= thresholds, matrix(test, "aggregate")
    found = {(m.name, m.split): m for m in figures.metrics}
    for average in ("micro", "macro"):
        expected = f1_score(truth, said, average=average, zero_division=0.0)  # pyright: ignore[reportArgumentType]
        assert found[f"{average}_f1", "test"].value == pytest.approx(expected)
    expected = jaccard_score(truth, said, average="samples", zero_division=1.0)  # pyright: ignore[reportArgumentType]
    assert found["js", "test"].value == pytest.approx(expected)
    assert found["always_none_js", "test"].value == pytest.approx((~truth.any(1)).mean())
    everything = f1_score(truth, np.ones_like(truth), average="micro")
    assert found["all_labels_micro_f1", "test"].value == pytest.approx(everything)
    assert found["shuffled_gold_js", "test"].value < found["js", "test"].value
    assert all(m.interval is None or m.interval.low <= m.value <= m.interval.high for m in found.values())
    assert {"a1_micro_f1", "a6_js", "bag_of_words_micro_f1"} <= {name for name, _ in found}
    assert open_run(trained, "reference").manifest.metrics == figures.metrics


def test_predictions_are_the_labels_of_dev_and_test_and_no_text(trained: Path, opened: Trained) -> None:
    lines = [json.loads(line) for line in (trained / PREDICTIONS).read_text().splitlines()]
    items = [*opened.corpus.split("dev"), *opened.corpus.split("test")]
    assert [line["id"] for line in lines] == [item.id for item in items]
    assert all(line.keys() == {"id", "labels"} for line in lines)
    thresholds = best_thresholds(opened.probabilities(items[:60]), matrix(items[:60], "aggregate"))
    said = opened.probabilities(items) >= thresholds
    labels = np.array(opened.corpus.labels)
    assert [line["labels"] for line in lines] == [labels[row].tolist() for row in said]


def test_texts_of_training_are_left_out_of_the_strict_figures(opened: Trained) -> None:
    train_, test = opened.corpus.split("train"), opened.corpus.split("test")
    twin = test[0]._replace(text=f"  {train_[0].text.replace(' ', '  ')} ")
    assert unseen(opened.corpus, [twin, *test[1:]]).tolist() == [False, *[True] * (len(test) - 1)]


def test_scores_refuse_a_network_in_train_mode(opened: Trained) -> None:
    empty = Rows(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64), torch.zeros(1, 7).bool())
    opened.model.train()
    try:
        with pytest.raises(ValueError, match="eval mode"):
            scores(opened.model, empty)
    finally:
        opened.model.eval()


def test_what_the_operator_must_mend(trained: Path, opened: Trained, config: Config, tmp_path: Path) -> None:
    def but(**changes: object) -> Config:
        return msgspec.structs.replace(config, **changes)

    with pytest.raises(OperatorError, match="give --data"):
        run(tmp_path, but(data=Data(name="goemotions")))
    with pytest.raises(OperatorError, match="no 'Ann9'"):
        run(tmp_path, but(data=Data(annotator="Ann9", generated=Generated(train=9, dev=9, test=9))))
    with pytest.raises(OperatorError, match=r"run\.json is missing"):
        evaluate(run=tmp_path, data=None)
    blank = opened.corpus.items[0]._replace(text=" ")
    with pytest.raises(OperatorError, match=f"{blank.id}: is empty"):
        rows([blank], "aggregate", opened.tokenizer, 9, torch.device("cpu"))
    other = tmp_path / "other"
    other.mkdir()
    manifest = open_run(trained, "reference").manifest
    changed = msgspec.structs.replace(manifest, config={**manifest.config, "seed": 4})
    (other / "run.json").write_bytes(render(changed))
    with pytest.raises(OperatorError, match="not the file that run"):
        evaluate(run=other, data=None)
    (other / "run.json").write_bytes(render(msgspec.structs.replace(manifest, status="running", checkpoint=None)))
    (other / "tokenizer.json").write_bytes((trained / "tokenizer.json").read_bytes())
    with pytest.raises(OperatorError, match="not finished"):
        evaluate(run=other, data=None)


def test_an_annotators_own_labels_can_be_learnt(config: Config, tmp_path: Path) -> None:
    data = msgspec.structs.replace(config.data, annotator="A3")
    mine = msgspec.structs.replace(config, data=data, optim=Optim(batch=50, epochs=1, warmup=1))
    manifest = evaluate(run=run(tmp_path, mine), data=None)
    assert manifest.properties["annotator"] == "A3"
    names = {m.name for m in manifest.metrics}
    assert "a3_js" not in names  # the plain figures are against A3
    assert {"js", "a1_js"} <= names
    corpus = load(mine, None)
    truth = matrix(corpus.split("test"), "A3")
    assert (truth != matrix(corpus.split("test"), "aggregate")).any()
    none = next(m.value for m in manifest.metrics if m.name == "always_none_js")
    assert none == pytest.approx((~truth.any(1)).mean())

"""The whole training on generated texts, a few epochs at a time, and the figures of its result."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from common.errors import OperatorError
from common.registry.cards import render
from common.text.features import TOKENIZER, probabilities, read_tokenizer
from common.text.figures import Figures
from common.text.rows import Rows
from common.text.thresholds import best_thresholds
from common.training import checkpoint
from common.training.run import Run, open_run
from deploy.commands.configs import packaged, read
from vision_nlp.acn_text import train as acn_text_train
from vision_nlp.acn_text.config import Config, Data, Masked
from vision_nlp.acn_text.data import load, rows
from vision_nlp.acn_text.evaluate import evaluate, load_learner
from vision_nlp.acn_text.model import Learner
from vision_nlp.acn_text.system import SYSTEM
from vision_nlp.acn_text.train import logits, train, words_found


def again(out: Path, config: Config, resume: Path | None = None) -> Path:
    return train(config=config, data=None, out=out, resume=resume, command="kithara train acn_text")


def kept(folder: Path) -> bytes:
    """The selected weights and the tokenizer, byte for byte."""
    part = checkpoint.read(folder / "checkpoints/best-classify.safetensors").part("model")
    weights = b"".join(tensor.numpy().tobytes() for _, tensor in sorted(part.items()))
    return weights + (folder / TOKENIZER).read_bytes()


def split(run: Run, config: Config, name: str) -> Rows:
    emotions = load(config, None)
    return rows(emotions, emotions.split(name), read_tokenizer(run.folder / TOKENIZER), config.tokens.longest)


@pytest.mark.parametrize("killed_at", [1, 9, 12, 40])
def test_a_killed_run_resumes_to_the_same_bits(
    trained: Path, config: Config, tmp_path: Path, killed: Callable[[int], AbstractContextManager[None]], killed_at: int
) -> None:
    """Before the first checkpoint, within masked words, at their end, and among labels; hidden words are drawn anew."""
    with killed(killed_at):
        again(tmp_path, config)
    (folder,) = (tmp_path / "acn_text").iterdir()
    torch.rand(5)
    assert again(tmp_path, config, resume=folder) == folder
    assert kept(folder) == kept(trained)


def test_the_test_split_chooses_nothing(
    trained: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = acn_text_train.load

    def without_test(*args: object):
        emotions = whole(*args)  # pyright: ignore[reportArgumentType]
        return emotions._replace(texts=(*emotions.split("train"), *emotions.split("dev")))

    monkeypatch.setattr(acn_text_train, "load", without_test)
    assert kept(again(tmp_path, config)) == kept(trained)


def test_pre_training_finds_hidden_words_and_hands_its_network_on(run: Run, config: Config) -> None:
    lines = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    found = [line["values"]["words_found"] for line in lines if line["event"] == "epoch" and line["phase"] == "masked"]
    dev = split(run, config, "dev")
    tensors = checkpoint.read(run.folder / "checkpoints/best-masked.safetensors").part("model")
    learner = load_learner(run)
    selected = Learner(config.model, learner.embed.vocabulary, config.tokens.longest, 6)
    selected.load_state_dict(tensors)
    assert words_found(selected.eval(), dev, 0.15) == max(found)
    assert max(found) > 5 / learner.embed.vocabulary


def test_a_run_without_pre_training_has_one_phase(config: Config, tmp_path: Path) -> None:
    short = msgspec.structs.replace(
        config, masked=Masked(epochs=0), classify=msgspec.structs.replace(config.classify, epochs=1)
    )
    folder = again(tmp_path, short)
    names = {path.name for path in (folder / "checkpoints").glob("best-*")}
    assert names == {"best-classify.safetensors"}


def test_it_learns(run: Run, config: Config) -> None:
    test = split(run, config, "test")
    truth, p = test.truth.numpy(), probabilities(logits(load_learner(run), test)[-1])
    rates = split(run, config, "train").truth.numpy().mean(0)
    guess = np.random.default_rng(0).random(truth.shape) < rates
    assert f1_score(truth, p >= 0.5, average="micro") > f1_score(truth, guess, average="micro") + 0.2


def test_logits_do_not_depend_on_neighbours_and_are_those_of_each_depth(run: Run, config: Config) -> None:
    learner, test = load_learner(run), split(run, config, "test")
    few = Rows(*(part[:5] for part in test))
    together = logits(learner, test)[:, :5]
    for i in range(5):
        ids, mask = test.batch(torch.tensor([i]))
        for k in range(4):
            with torch.no_grad():
                alone = learner.network.truncate(k)(ids, mask)
            np.testing.assert_allclose(together[k, i], alone[0], atol=1e-5)
    np.testing.assert_allclose(logits(learner, few), together, atol=1e-5)
    with pytest.raises(ValueError, match="eval mode"):
        logits(learner.train(), few)


def test_figures_are_those_of_scikit_learn_at_the_cut_under_the_thresholds_of_dev(run: Run, config: Config) -> None:
    figures = msgspec.json.decode((run.folder / "metrics.json").read_bytes(), type=Figures)
    found = {(m.name, m.split): m for m in figures.metrics}
    learner, dev, test = load_learner(run), split(run, config, "dev"), split(run, config, "test")
    truth = test.truth.numpy()
    on_dev, on_test = (probabilities(logits(learner, asked)) for asked in (dev, test))
    f1 = []
    for k in range(4):
        thresholds = best_thresholds(on_dev[k], dev.truth.numpy())
        f1.append(f1_score(dev.truth.numpy(), on_dev[k] >= thresholds, average="micro"))
        for average in ("micro", "macro"):
            expected = f1_score(truth, on_test[k] >= thresholds, average=average, zero_division=0.0)  # pyright: ignore[reportArgumentType]
            assert found[f"depth_{k}_{average}_f1", "test"].value == pytest.approx(expected)
    cut = next(k for k in range(1, 4) if f1[k] >= f1[3] - config.tolerance / 100)
    assert run.manifest.properties["cut"] == cut
    assert found["micro_f1", "test"].value == found[f"depth_{cut}_micro_f1", "test"].value
    assert figures.thresholds == pytest.approx(tuple(best_thresholds(on_dev[cut], dev.truth.numpy())))
    often = np.zeros_like(truth)
    often[:, split(run, config, "train").truth.numpy().sum(0).argmax()] = True
    expected = f1_score(truth, often, average="micro")
    assert found["most_frequent_micro_f1", "test"].value == pytest.approx(expected)
    assert {("bag_of_words_macro_f1", "test_strict"), ("macro_f1", "test_strict"), ("js", "dev")} <= found.keys()
    assert all(m.interval is None or m.interval.low <= m.value <= m.interval.high for m in found.values())
    assert run.manifest.metrics == figures.metrics


def test_strict_figures_leave_out_texts_of_training(run: Run, config: Config) -> None:
    emotions = load(config, None)
    known = {text.text for text in emotions.split("train")}
    seen = sum(text.text in known for text in emotions.split("test"))
    sizes = {m.split: m.n for m in run.manifest.metrics if m.name == "micro_f1"}
    assert sizes == {"test": 80, "test_strict": 80 - seen, "dev": 60}
    assert run.manifest.properties["seen_in_training"] == seen


def test_what_the_operator_must_mend(trained: Path, config: Config, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="give --data"):
        again(tmp_path, msgspec.structs.replace(config, data=Data(name="goemotions")))
    with pytest.raises(OperatorError, match=r"run\.json is missing"):
        evaluate(run=tmp_path, data=None)
    manifest = open_run(trained, "acn_text").manifest
    for name, changed, said in (
        ("other", {"config": {**manifest.config, "seed": 4}}, "not the file that run"),
        ("running", {"status": "running", "checkpoint": None}, "not finished"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_bytes(render(msgspec.structs.replace(manifest, **changed)))
        with pytest.raises(OperatorError, match=said):
            evaluate(run=tmp_path / name, data=None)


@pytest.mark.parametrize("name", ["tiny", "starter"])
def test_packaged_configurations_are_valid(name: str) -> None:
    assert set(packaged(SYSTEM)) == {"tiny", "starter"}
    assert isinstance(read(SYSTEM, name), Config)

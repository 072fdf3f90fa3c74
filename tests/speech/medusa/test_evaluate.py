"""Figures of a trained ensemble, recomputed with scikit-learn from its parts."""

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score

from common.errors import OperatorError
from common.registry.cards import render
from common.training.run import Run
from speech.medusa import ensemble, meta
from speech.medusa.calibrate import calibration_error, temperature
from speech.medusa.config import Config
from speech.medusa.data import load
from speech.medusa.evaluate import Answers, evaluate
from speech.medusa.figures import Figures
from speech.medusa.members import Said, judge
from speech.medusa.rows import Sets
from speech.medusa.streams import read_sources, with_streams


@pytest.fixture(scope="module")
def figures(trained) -> Figures:
    return msgspec.json.decode((trained / "metrics.json").read_bytes(), type=Figures)


def by_name(figures: Figures) -> dict[tuple[str, str], float]:
    return {(m.name, m.split): m.value for m in figures.metrics}


def parts(run: Run, config: Config) -> tuple[Sets, list[Said], torch.Tensor]:
    """The sets, what members say of the test split, and the ensemble's logits."""
    sets = with_streams(load(config, None, run.folder), config, read_sources(config, run.folder))
    trained = ensemble.load(run, config)
    said = [judge(member, sets.test) for member in trained.members]
    with torch.no_grad():
        return sets, said, trained.meta(meta.answers(said, True))[0]


def macro(labels: np.ndarray, said: np.ndarray) -> float:
    return float(f1_score(labels, said, labels=range(8), average="macro", zero_division=0.0))  # pyright: ignore[reportArgumentType]


def test_they_are_scikit_learns(run: Run, config: Config, figures: Figures) -> None:
    (sets, said, logits), found = parts(run, config), by_name(figures)
    labels, answer = sets.test.labels.numpy(), logits.argmax(1).numpy()
    assert found["macro_f1", "test"] == pytest.approx(macro(labels, answer))
    assert found["micro_f1", "test"] == pytest.approx((labels == answer).mean())
    np.testing.assert_array_equal(figures.confusion, confusion_matrix(labels, answer, labels=range(8)))
    vote = torch.stack([one.logits.softmax(1) for one in said]).mean(0).argmax(1).numpy()
    assert found["soft_vote_macro_f1", "test"] == pytest.approx(macro(labels, vote))
    for n, one in enumerate(said):
        assert found[f"member_{n:02d}_macro_f1", "test"] == pytest.approx(macro(labels, one.logits.argmax(1).numpy()))
    assert figures.metrics == run.manifest.metrics


def test_the_temperature_was_fitted_on_dev_and_never_on_test(run: Run, config: Config, figures: Figures) -> None:
    sets, _, logits = parts(run, config)
    trained = ensemble.load(run, config)
    with torch.no_grad():
        dev = trained.meta(meta.answers([judge(m, sets.dev) for m in trained.members], True))[0].numpy()
    assert figures.temperature == pytest.approx(temperature(dev, sets.dev.targets.numpy()), rel=1e-4)
    found, labels = by_name(figures), sets.test.labels.numpy()
    p = (logits / figures.temperature).softmax(1).double().numpy()
    assert found["ece", "test"] == pytest.approx(calibration_error(p, labels), abs=1e-5)
    raw = logits.softmax(1).double().numpy()
    assert found["uncalibrated_ece", "test"] == pytest.approx(calibration_error(raw, labels), abs=1e-5)
    assert found["nll", "dev"] <= found["uncalibrated_nll", "dev"] + 1e-9
    assert sum(b.clips for b in figures.reliability) == len(labels)


def test_everything_that_was_asked_for_is_there(figures: Figures) -> None:
    names = by_name(figures).keys()
    wanted = {"macro_f1", "micro_f1", "uar", "ece", "ccc", "ccc_valence", "hard_vote_macro_f1", "meta_run_1_macro_f1"}
    assert {(name, split) for name in wanted for split in ("test", "dev")} <= names
    assert {("soft_vote_macro_f1", "out-of-fold"), ("member_01_macro_f1", "out-of-fold")} <= names
    assert all(m.interval is not None for m in figures.metrics if m.name.endswith("macro_f1") and "run" not in m.name)
    assert (figures.judged, figures.soft, figures.use) == (True, True, "open")


def test_a_hard_vote_is_the_majority_and_a_tie_goes_to_the_surer_class(run: Run, config: Config) -> None:
    sets = parts(run, config)[0]
    rows = sets.test.select(torch.arange(40) < 2)
    log = torch.log(torch.tensor([[[0.6, 0.4], [0.9, 0.1]], [[0.6, 0.4], [0.3, 0.7]], [[0.1, 0.9], [0.3, 0.7]]]))
    said = tuple(Said(one, torch.zeros(2, 3)) for one in log)
    assert Answers(rows, said, log[0].numpy(), None).hard.tolist() == [0, 1]
    two = Answers(rows, (said[0], said[1]), log[0].numpy(), None)
    assert two.hard.tolist() == [0, 0]
    np.testing.assert_allclose(two.vote, [[0.6, 0.4], [0.6, 0.4]], atol=1e-6)


def test_other_data_than_the_runs_are_refused(trained, run: Run, tmp_path) -> None:
    folder = tmp_path / "medusa" / "run"
    for path in trained.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(trained)).parent.mkdir(parents=True, exist_ok=True)
            (folder / path.relative_to(trained)).write_bytes(path.read_bytes())
    changed = msgspec.structs.replace(run.manifest, config={**run.manifest.config, "seed": 8})
    (folder / "run.json").write_bytes(render(changed))
    with pytest.raises(OperatorError, match="not the file that run"):
        evaluate(run=folder, data=None)

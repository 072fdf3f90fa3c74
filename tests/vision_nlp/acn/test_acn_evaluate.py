"""What evaluation writes, against the truncated networks and a plain count; and that test rows decide nothing."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from common.claims.statistics import wilson_interval
from common.errors import OperatorError
from common.training.run import open_run
from contracts.runs import RunManifest
from vision_nlp import pictures
from vision_nlp.acn.config import Config, Cut, Model, Optim
from vision_nlp.acn.early import entropies
from vision_nlp.acn.evaluate import Figures, accuracy, evaluate, load_model, measure, read_all
from vision_nlp.acn.train import train
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows, Splits

CONFIG = Config(
    model=Model(backbone="mlp", layers=4, width=24, channel_width=32),
    optim=Optim(batch=64, epochs=12, lr=3e-3),
    cut=Cut(tolerance=2.0, exit_tolerance=1.0),
    exits=(1, 3, 4),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    return train(config=CONFIG, data=None, out=out, command="kithara train acn")


@pytest.fixture(scope="module")
def manifest(run: Path) -> RunManifest:
    return evaluate(run=run, data=None)


@pytest.fixture(scope="module")
def figures(run: Path, manifest: RunManifest) -> Figures:
    return msgspec.json.decode((run / "metrics.json").read_bytes(), type=Figures)


@pytest.fixture(scope="module")
def model(run: Path) -> AutoCompressing:
    return load_model(open_run(run, "acn"))


@pytest.fixture(scope="module")
def splits() -> Splits:
    return pictures.load(CONFIG.data, CONFIG.seed, None, torch.device("cpu"))


def test_every_depth_is_the_truncated_network(figures: Figures, model: AutoCompressing, splits: Splits) -> None:
    assert [depth.depth for depth in figures.depths] == [0, 1, 2, 3, 4]
    for depth in figures.depths:
        small = model.truncate(depth.depth)
        guess = small(splits.test.x).argmax(1)
        assert depth.test == pytest.approx(accuracy_score(splits.test.y, guess))
        assert depth.test_interval == wilson_interval(int((guess == splits.test.y).sum()), 360)
        assert depth.validation == accuracy(small, splits.validation)
        assert depth.parameters == sum(tensor.numel() for tensor in small.state_dict().values())
        assert depth.bytes == 4 * depth.parameters
    assert figures.depths[-1].test > 0.9


def test_the_cut_of_every_tolerance_follows_from_the_validation_rows(figures: Figures) -> None:
    share = [depth.validation for depth in figures.depths]
    assert [cut.tolerance for cut in figures.cuts] == [0.1, 0.5, 1.0, 2.0]
    for cut in figures.cuts:
        enough = [k for k in range(1, 5) if share[k] >= share[4] - cut.tolerance / 100 - 1e-12]
        assert cut.depth == min(enough)
        lost = figures.depths[cut.depth].test - figures.depths[4].test
        assert cut.test.low <= lost + 1e-12
        assert lost - 1e-12 <= cut.test.high
    assert figures.cut == figures.cuts[-1]


def test_leaving_early_follows_from_the_exits_alone(figures: Figures, model: AutoCompressing, splits: Splits) -> None:
    logits = read_all(model, splits.test)
    chosen = figures.chosen
    depth = np.full(360, 4)
    for k in (3, 1):
        depth[entropies(logits[k]) < chosen.entropy] = k
    guess = np.array([logits[k, row].argmax() for row, k in enumerate(depth)])
    assert figures.exits == (1, 3, 4)
    assert figures.chosen_test.accuracy == pytest.approx(accuracy_score(splits.test.y, guess))
    assert figures.chosen_test.mean_depth == pytest.approx(depth.mean())
    assert figures.chosen_test.entropy == chosen.entropy
    allowed = [tried for tried in figures.leaving if tried.accuracy >= figures.depths[4].validation - 0.01]
    assert chosen.mean_depth == min(tried.mean_depth for tried in allowed)
    assert chosen.mean_depth < 4


def test_the_manifest_states_the_same(run: Path, manifest: RunManifest, figures: Figures) -> None:
    full, cut = figures.depths[4], figures.depths[figures.cut.depth]
    stated = {(metric.name, metric.split): metric for metric in manifest.metrics}
    assert {key: metric.value for key, metric in stated.items()} == {
        ("accuracy", "test"): full.test,
        ("accuracy_cut", "test"): cut.test,
        ("accuracy_exit", "test"): figures.chosen_test.accuracy,
        ("accuracy", "validation"): full.validation,
        ("accuracy_cut", "validation"): cut.validation,
        ("accuracy_exit", "validation"): figures.chosen.accuracy,
    }
    assert stated["accuracy", "test"].interval == full.test_interval
    assert (stated["accuracy", "test"].n, stated["accuracy", "validation"].n) == (360, 144)
    properties = manifest.properties
    assert (properties["cut"], properties["cut_tolerance"], properties["cut_2"]) == (cut.depth, 2.0, cut.depth)
    assert properties["exit_entropy"] == figures.chosen.entropy
    assert properties["exit_mean_depth"] == figures.chosen_test.mean_depth
    assert (properties["parameters_cut"], properties["bytes_cut"]) == (cut.parameters, cut.bytes)
    assert [properties[f"accuracy_{k}"] for k in range(5)] == [depth.test for depth in figures.depths]
    assert open_run(run, "acn").manifest == manifest


def test_the_test_rows_choose_nothing(figures: Figures, model: AutoCompressing, splits: Splits) -> None:
    noise = Rows(torch.randn(50, 64, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 10)
    other = measure(model, CONFIG, splits._replace(test=noise))
    assert other.leaving == figures.leaving
    assert other.chosen == figures.chosen
    assert [(cut.depth, cut.validation) for cut in other.cuts] == [(cut.depth, cut.validation) for cut in figures.cuts]
    assert other.depths[4].test < 0.5 < figures.depths[4].test


def test_a_network_in_train_mode_is_refused(model: AutoCompressing, splits: Splits) -> None:
    training = model.truncate(4).train()
    for read in (accuracy, read_all):
        with pytest.raises(ValueError, match="eval mode"):
            read(training, splits.test)


def test_a_run_that_is_not_finished_or_saw_other_data_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_run(run, "acn")
    (tmp_path / "run.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(opened.manifest, status="running", checkpoint=None))
    )
    with pytest.raises(OperatorError, match="not finished; `kithara train acn --resume`"):
        evaluate(run=tmp_path, data=None)
    other = msgspec.structs.replace(opened.manifest.data[0], sha256="0" * 64)
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(opened.manifest, data=(other,))))
    with pytest.raises(OperatorError, match=r"digits/train is not the file that run .* saw"):
        evaluate(run=tmp_path, data=None)

from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest
import torch

from common.errors import OperatorError
from common.registry.golden import read_golden
from common.registry.layout import Version
from common.training.run import open_run
from contracts.vision_nlp import fff_signature
from vision_nlp.fff.config import Config, Model, Optim, Phase, Phases, Tune
from vision_nlp.fff.evaluate import evaluate, load_model
from vision_nlp.fff.export import export, max_rows
from vision_nlp.fff.hard import HardFFF, Weights
from vision_nlp.fff.train import train
from vision_nlp.pictures import load

CONFIG = Config(
    model=Model(depth=3, leaf_width=4, master_width=4),
    optim=Optim(batch=128),
    phases=Phases(balance=Phase(epochs=2, balance=1.0), harden=Phase(epochs=1, harden=3.0), tune=Tune(epochs=1)),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run on the bundled digits."""
    run = train(config=CONFIG, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train fff")
    evaluate(run=run, data=None)
    return run


@pytest.fixture(scope="module")
def version(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return export(run=trained, models=tmp_path_factory.mktemp("models"))


def copy_with(trained: Path, to: Path, **changes) -> Path:
    """A run folder like ``trained`` whose manifest says otherwise."""
    to.mkdir()
    manifest = msgspec.structs.replace(open_run(trained, "fff").manifest, **changes)
    (to / "run.json").write_bytes(msgspec.json.encode(manifest))
    return to


def test_published_graph_answers_as_the_trained_network_does_hard(trained: Path, version: Version) -> None:
    model = load_model(open_run(trained, "fff"))
    test = load(CONFIG.data, CONFIG.seed, None, torch.device("cpu")).test
    session = onnxruntime.InferenceSession(version.graph, providers=["CPUExecutionProvider"])
    logits, leaf, margin = session.run(["logits", "leaf", "path_margin"], {"pixels": test.x.numpy()})
    with torch.no_grad():
        hard = model(test.x, hard=True)
        soft = model(test.x)
    clear = margin > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(leaf[clear], hard.mixture.argmax(1).numpy()[clear])
    np.testing.assert_allclose(logits[clear], hard.logits.numpy()[clear], atol=1e-4)
    assert np.abs(logits - soft.logits.numpy()).max() > 0.01  # the mixture would not pass for it
    accuracy = float((logits.argmax(1) == test.y.numpy()).mean())
    stated = {(m.name, m.split): m.value for m in version.card.metrics}
    assert accuracy == pytest.approx(stated["accuracy", "test"], abs=1.5 / len(test.y))


def test_card_says_what_a_user_must_know(version: Version) -> None:
    card = version.card
    assert (card.name, card.version, card.system, card.use) == ("fff-digits", 1, "fff", "open")
    assert card.signature == fff_signature(64, 10)
    assert card.labels == tuple("0123456789")
    assert card.image is not None
    assert (card.image.height, card.image.width, card.image.ground) == (8, 8, "dark")
    assert {(m.name, m.split) for m in card.metrics} == {
        (name, split) for name in ("accuracy", "accuracy_soft") for split in ("train", "test")
    }
    assert all(m.interval is not None and m.interval.low <= m.value <= m.interval.high for m in card.metrics)
    # d * I + (l + m) * (I + O) multiply-adds, which a dense network of width 784 / 74 costs as well
    assert card.properties["mac"] == 3 * 64 + 8 * 74
    assert any("width 11 " in caveat for caveat in card.caveats)
    assert {"soft_hard_gap", "leaves_used", "parity_logits"} <= card.properties.keys()
    assert card.lineage.config == msgspec.to_builtins(CONFIG)


def test_golden_rows_reach_more_than_one_leaf(version: Version) -> None:
    _, outputs = read_golden(version.golden)
    assert len(set(outputs["leaf"].tolist())) > 1


def test_exporting_again_adds_a_version(trained: Path, version: Version) -> None:
    again = export(run=trained, models=version.folder.parents[1], routing="descend")
    assert again.card.version == 2
    assert (version.card.properties["routing"], again.card.properties["routing"]) == ("all-nodes", "descend")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "running"}, "running"),
        ({"checkpoint": None}, "checkpoint"),
        ({"metrics": ()}, "kithara evaluate fff"),
        ({"checkpoint": "checkpoints/none.safetensors"}, r"none\.safetensors"),
    ],
)
def test_refuses_a_run_that_cannot_be_vouched_for(trained: Path, tmp_path: Path, changes: dict, message: str) -> None:
    run = copy_with(trained, tmp_path / "run", **changes)
    with pytest.raises(OperatorError, match=message):
        export(run=run, models=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_refuses_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"run\.json"):
        export(run=tmp_path, models=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_rows_of_one_execution_fit_the_memory() -> None:
    # Specification, section 7: 1024 rows of l = 32 and 768 + 768 gather 201 MB; 64 MiB hold 341 rows.
    wide = Weights(
        node_weight=torch.zeros(1, 768),
        node_bias=torch.zeros(1),
        w1=torch.zeros(2, 32, 768),
        b1=torch.zeros(2, 32),
        w2=torch.zeros(2, 768, 32),
        b2=torch.zeros(2, 768),
    )
    assert max_rows(HardFFF(wide)) == 341
    narrow = wide._replace(
        w1=torch.zeros(2, 1, 768), b1=torch.zeros(2, 1), w2=torch.zeros(2, 10, 1), b2=torch.zeros(2, 10)
    )
    assert max_rows(HardFFF(narrow)) == 1024

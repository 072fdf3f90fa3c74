"""Stages and whole network as they are published: equal to torch, small, and told about truly."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from common.errors import OperatorError
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.training.run import open_run
from contracts.models import Stage
from contracts.vision_nlp import acn_signature, stage_signature
from vision_nlp.acn.cards import max_rows
from vision_nlp.acn.config import Config, Model, Optim
from vision_nlp.acn.evaluate import evaluate, load_model
from vision_nlp.acn.export import export
from vision_nlp.acn.stages import chain
from vision_nlp.acn.train import train
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.exits import Exits
from vision_nlp.pictures import Rows, load

EXITS = (1, 3)
CONFIG = Config(
    model=Model(layers=3, width=8, patch=4, token_width=6, channel_width=12, tail_skip=True),
    optim=Optim(batch=128, epochs=4, lr=3e-3),
    exits=EXITS,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run on the bundled digits."""
    run = train(config=CONFIG, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train acn")
    evaluate(run=run, data=None)
    return run


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return export(run=trained, models=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def stages(whole: Version) -> list[Version]:
    repository = Repository(whole.folder.parents[1])
    return [repository.load(f"acn-digits-to-{depth}", 1) for depth in EXITS]


@pytest.fixture(scope="module")
def network(trained: Path) -> AutoCompressing:
    return load_model(open_run(trained, "acn"))


@pytest.fixture(scope="module")
def test_rows() -> Rows:
    return load(CONFIG.data, CONFIG.seed, None, torch.device("cpu")).test


def run(version: Version, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(version.graph, providers=["CPUExecutionProvider"])
    return [np.asarray(output) for output in session.run(None, inputs)]


def copy_with(trained: Path, to: Path, **changes: object) -> Path:
    """A run folder like ``trained`` whose manifest says otherwise."""
    to.mkdir()
    manifest = msgspec.structs.replace(open_run(trained, "acn").manifest, **changes)
    (to / "run.json").write_bytes(msgspec.json.encode(manifest))
    (to / "metrics.json").write_bytes((trained / "metrics.json").read_bytes())
    (to / "checkpoints").symlink_to(trained / "checkpoints")
    return to


def test_every_stage_and_the_whole_answer_as_torch_does(
    network: AutoCompressing, whole: Version, stages: list[Version], test_rows: Rows
) -> None:
    inputs = {"pixels": test_rows.x.numpy()}
    (logits,) = run(whole, inputs)
    for depth, stage in zip(EXITS, stages, strict=True):
        read, x, y = run(stage, inputs)
        with torch.no_grad():
            expected = network(test_rows.x, upto=depth)
            state = network.run(test_rows.x, upto=depth)
        np.testing.assert_allclose(read, expected.numpy(), atol=1e-5)
        np.testing.assert_allclose(x, state.x.numpy(), atol=1e-5)
        np.testing.assert_allclose(y, state.y.numpy(), atol=1e-5)
        right = float((read.argmax(1) == test_rows.y.numpy()).mean())
        assert stage.card.metrics[0].value == pytest.approx(right, abs=1.5 / len(test_rows.y))
        inputs = {"x": x, "y": y}
    np.testing.assert_allclose(read, logits, atol=1e-5)
    stated = {(m.name, m.split): m.value for m in whole.card.metrics}
    right = float((logits.argmax(1) == test_rows.y.numpy()).mean())
    assert stated["accuracy", "test"] == pytest.approx(right, abs=1.5 / len(test_rows.y))


def test_a_graph_holds_its_own_blocks_and_no_others(
    network: AutoCompressing, whole: Version, stages: list[Version]
) -> None:
    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    def floats(version: Version) -> int:
        graph = onnx.load(version.graph).graph
        return sum(int(np.prod(t.dims)) for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT)

    shared, block = count(network.norm) + count(network.head), count(network.blocks[0])
    first, second = map(floats, stages)
    # A few scalars (of GELU, of the norms' epsilon) may stand beside the weights.
    assert 0 <= first - (count(network.embed) + block + shared) <= 10
    assert 0 <= second - (2 * block + shared) <= 10
    assert 0 <= floats(whole) - (count(network.embed) + 3 * block + shared) <= 10


async def test_the_service_answers_at_a_depth_as_torch_does(
    network: AutoCompressing, whole: Version, test_rows: Rows
) -> None:
    models = Models(Repository(whole.folder.parents[1]), LocalBackend(threads=1, device="cpu"))
    await models.start()
    pixels = test_rows.x[:9]
    with torch.no_grad():
        expected = network.forward_all(pixels).numpy()
    for depth in EXITS:
        left = await Exits(models).at_depth(whole.card, pixels.numpy(), depth, Call())
        np.testing.assert_allclose(left.logits, expected[depth], atol=1e-5)
    early = await Exits(models).until(whole.card, pixels.numpy(), 1.5, Call())
    for row, depth in enumerate(early.depth):
        np.testing.assert_allclose(early.logits[row], expected[depth, row], atol=1e-5)
    await models.stop(drain=0.0)


def test_cards_say_what_a_user_must_know(whole: Version, stages: list[Version]) -> None:
    card = whole.card
    assert (card.name, card.version, card.system, card.use) == ("acn-digits", 1, "acn", "open")
    assert card.signature == acn_signature(64, 10)
    assert card.stages == tuple(Stage(model=f"acn-digits-to-{d}", version=1, depth=d) for d in EXITS)
    assert card.image is not None
    assert (card.image.height, card.image.width, card.image.channels) == (8, 8, 1)
    assert card.properties["chain_to_torch"] <= 1e-5  # pyright: ignore[reportOperatorIssue]
    assert card.properties["chain_to_whole"] <= 1e-5  # pyright: ignore[reportOperatorIssue]
    assert card.properties["graph_bytes"] == whole.graph.stat().st_size
    assert {"cut", "exit_entropy", "exit_mean_depth", "parity_logits"} <= card.properties.keys()
    assert any("kithara claims acn" in caveat for caveat in card.caveats)
    assert msgspec.convert(card.lineage.config, Config) == CONFIG
    tokens = 1 + (8 // 4) ** 2
    for start, version in zip((0, 1), stages, strict=True):
        stage = version.card
        assert (stage.task, stage.image, stage.labels) == ("network-stage", None, tuple("0123456789"))
        assert stage.signature == stage_signature(None if start else 64, tokens, 8, 10)
        assert stage.limits == card.limits
    assert [stage.card.properties["blocks_before"] for stage in stages] == [0, 1]


def test_exporting_again_adds_a_version_with_its_own_stages(
    trained: Path, whole: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is proved is proved above; here only the numbers matter.
    proved = Repository(whole.folder.parents[1])
    monkeypatch.setattr("vision_nlp.acn.export.publish", lambda module, draft, *_, **__: proved.load(draft.name, 1))
    again = export(run=trained, models=proved.root)
    assert again.card.version == 2
    assert {(stage.model, stage.version) for stage in again.card.stages} == {
        ("acn-digits-to-1", 2),
        ("acn-digits-to-3", 2),
    }
    assert Repository(proved.root).load("acn-digits", 1).card.stages == whole.card.stages


def test_stages_in_the_wrong_order_are_not_the_network(
    network: AutoCompressing, whole: Version, stages: list[Version]
) -> None:
    graphs = [stage.graph for stage in stages]
    assert set(chain(network, graphs, whole.graph, EXITS, 64)) == {"chain_to_torch", "chain_to_whole"}
    with torch.no_grad():
        network.head.bias[0] += 1e-3
    try:
        with pytest.raises(OperatorError, match=r"chain_to_torch: .* 1\.00e-03"):
            chain(network, graphs, whole.graph, EXITS, 64)
    finally:
        with torch.no_grad():
            network.head.bias[0] -= 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "running"}, "running"),
        ({"metrics": ()}, "kithara evaluate acn"),
        ({"config": msgspec.to_builtins(msgspec.structs.replace(CONFIG, model=Model(mode="residual", layers=3)))},
         "mode residual is a baseline"),
    ],
)  # fmt: skip
def test_refuses_a_run_that_cannot_be_vouched_for(
    trained: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    run = copy_with(trained, tmp_path / "run", **changes)
    with pytest.raises(OperatorError, match=message):
        export(run=run, models=tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_refuses_other_exits_under_the_same_name_before_anything_is_published(
    trained: Path, whole: Version, tmp_path: Path
) -> None:
    """Stage 3 from the start would take pictures, where version 1 takes a state."""
    root = whole.folder.parents[1]
    before = sorted(root.rglob("model.onnx"))
    config = msgspec.to_builtins(msgspec.structs.replace(CONFIG, exits=(3,)))
    run = copy_with(trained, tmp_path / "run", config=config)
    with pytest.raises(OperatorError, match="acn-digits-to-3: takes or gives other tensors than version"):
        export(run=run, models=root)
    assert sorted(root.rglob("model.onnx")) == before


def test_rows_of_one_execution_fit_the_memory() -> None:
    wide = Model(backbone="vit", width=1024, channel_width=4096, heads=16)
    # 257 tokens x (4 x 1024 + 4096) + 257 x (3 x 1024 + 16 x 257) floats of 4 bytes: 4 rows fit 64 MiB
    assert max_rows(wide, 257) == 64 * 1024**2 // (4 * 257 * (4 * 1024 + 4096 + 3 * 1024 + 16 * 257)) == 4
    assert max_rows(Model(width=8, channel_width=8, token_width=8), 5) == 256

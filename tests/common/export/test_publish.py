"""Export, parity, publication and check of small modules, each traced once."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from common.errors import OperatorError
from common.export.onnx import export
from common.export.parity import Bounds, parity
from common.export.publish import publish
from common.registry.cards import DRAFT, render
from common.registry.golden import read_golden
from common.registry.store import Repository
from common.runtime.check import check
from contracts.models import Limits, Lineage, ModelCard
from contracts.runs import RunManifest
from contracts.tensors import Signature, Tensor

SIGNATURE = Signature(
    inputs=(
        Tensor(name="frames", dtype="float32", dims=("batch", "time", 4)),
        Tensor(name="lengths", dtype="int64", dims=("batch",)),
    ),
    outputs=(
        Tensor(name="mean", dtype="float32", dims=("batch", 3)),
        Tensor(name="best", dtype="int64", dims=("batch",)),
        Tensor(name="each", dtype="float32", dims=("batch", "time")),
    ),
)
BOUNDS = {"time": Bounds(1, 9)}
LIMITS = Limits(max_rows=5)


class Pool(torch.nn.Module):
    """Masked mean over time; dropout shows whether the graph was made in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.drop = torch.nn.Linear(4, 3), torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mask = (torch.arange(x.shape[1])[None] < n[:, None])[..., None]
        h = self.drop(self.layer(x)) * mask
        mean = h.sum(1) / n[:, None]
        return mean, mean.argmax(-1), h.sum(-1)


def sample(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(sizes["batch"])
    shape = (sizes["batch"], sizes["time"], 4)
    return {
        "frames": rng.normal(size=shape).astype(np.float32),
        "lengths": rng.integers(1, sizes["time"] + 1, sizes["batch"]),
    }


def example() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in sample({"batch": 3, "time": 4}).items()}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export(Pool(), SIGNATURE, example(), path)
    return path


def test_graph_has_the_signatures_names_types_and_dims(graph: Path):
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert [(n.name, n.type, n.shape) for n in (*session.get_inputs(), *session.get_outputs())] == [
        ("frames", "tensor(float)", ["batch", "time", 4]),
        ("lengths", "tensor(int64)", ["batch"]),
        ("mean", "tensor(float)", ["batch", 3]),
        ("best", "tensor(int64)", ["batch"]),
        ("each", "tensor(float)", ["batch", "time"]),
    ]
    model = onnx.load(graph)
    assert model.ir_version <= 10
    assert {o.domain: o.version for o in model.opset_import}[""] == 18
    assert [p.name for p in graph.parent.iterdir()] == ["model.onnx"], "weights lie inside"


def test_equal_modules_give_equal_bytes_without_paths_of_this_machine(graph: Path, tmp_path: Path):
    module = Pool()
    export(module, SIGNATURE, example(), tmp_path / "again.onnx")
    written = (tmp_path / "again.onnx").read_bytes()
    assert written == graph.read_bytes()
    assert str(Path(__file__).parent).encode() not in written
    assert b"site-packages" not in written
    assert module.training
    assert module.drop.training


class Rows(torch.nn.Module):
    """Looks up a table; the exporter names that value for its operator."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(5, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.table(ids))


def test_an_output_may_be_named_like_an_operator_inside(tmp_path: Path):
    signature = Signature(
        inputs=(Tensor(name="ids", dtype="int64", dims=("batch",)),),
        outputs=(Tensor(name="embedding", dtype="float32", dims=("batch", 2)),),
    )
    module, ids = Rows(), torch.tensor([4, 0, 2])
    export(module, signature, {"ids": ids}, tmp_path / "rows.onnx")
    session = ort.InferenceSession(tmp_path / "rows.onnx", providers=["CPUExecutionProvider"])
    (answer,) = session.run(["embedding"], {"ids": ids.numpy()})
    np.testing.assert_array_equal(np.asarray(answer), module(ids).detach())


def test_parity_compares_every_row_and_sees_a_changed_weight(graph: Path):
    module = Pool()
    seen = parity(module, graph, SIGNATURE, sample, LIMITS, bounds=BOUNDS)
    assert (seen.rows, seen.exempt) == (2 * (1 + 3 + 5), 0)
    assert seen.worst["best"] == 0.0
    assert max(seen.worst.values()) < 1e-5
    with torch.no_grad():
        module.layer.bias[0] += 1e-2
    with pytest.raises(OperatorError, match=r"output mean at .* differs from torch by"):
        parity(module, graph, SIGNATURE, sample, LIMITS, bounds=BOUNDS)


def test_exempt_rows_may_differ_but_never_all(graph: Path):
    module = Pool()
    module.register_forward_hook(lambda *a: (a[2][0], a[2][1] + (torch.arange(len(a[2][1])) == 0), a[2][2]))
    first = lambda outputs: np.arange(len(outputs["best"])) == 0  # noqa: E731
    with pytest.raises(OperatorError, match="output best"):
        parity(module, graph, SIGNATURE, sample, LIMITS, bounds=BOUNDS)
    assert parity(module, graph, SIGNATURE, sample, LIMITS, bounds=BOUNDS, exempt=first).exempt == 6
    with pytest.raises(OperatorError, match="exempt"):
        parity(module, graph, SIGNATURE, sample, LIMITS, bounds=BOUNDS, exempt=lambda o: np.ones(len(o["best"]), bool))


def test_example_that_would_freeze_a_dimension_is_refused(tmp_path: Path):
    frozen = {name: tensor[:1] for name, tensor in example().items()}
    with pytest.raises(OperatorError, match="at least 2"):
        export(Pool(), SIGNATURE, frozen, tmp_path / "g.onnx")
    assert list(tmp_path.iterdir()) == []


def manifest(folder: Path, **changes: Any) -> Path:
    run = RunManifest(
        id="r", system="fff", command="c", created="2026-11-01", status="finished", config={}, data=(), seed=0,
        software={}, checkpoint="checkpoints/a.safetensors",
    )  # fmt: skip
    folder.mkdir()
    (folder / "run.json").write_bytes(render(msgspec.structs.replace(run, **changes)))
    return folder


def card() -> ModelCard:
    lineage = Lineage(command="c", run="r", config={}, data=(), created="2026-11-01", software={})
    return ModelCard(
        **DRAFT, name="pool", system="fff", task="image-classification", paper="p", description="d", use="open",
        signature=SIGNATURE, labels=("a",), limits=LIMITS, metrics=(), caveats=(), lineage=lineage,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": "running"}, "status"),
        ({"checkpoint": None}, "checkpoint"),
        ({"system": "acn"}, "system is 'acn'"),
        ({"seed": "x"}, r"\$\.seed"),
    ],
)
def test_unfit_runs_are_refused(tmp_path: Path, changes: dict[str, Any], words: str):
    run = manifest(tmp_path / "run", **changes)
    with pytest.raises(OperatorError, match=words):
        publish(Pool(), card(), run, Repository(tmp_path / "models"), sample, bounds=BOUNDS)
    assert not (tmp_path / "models").exists()


def test_run_without_manifest_is_refused(tmp_path: Path):
    with pytest.raises(OperatorError, match=r"run\.json is missing"):
        publish(Pool(), card(), tmp_path, Repository(tmp_path / "models"), sample, bounds=BOUNDS)


def test_published_module_passes_the_check_until_a_file_lies(tmp_path: Path, graph: Path):
    repository = Repository(tmp_path / "models")
    version = publish(Pool(), card(), manifest(tmp_path / "run"), repository, sample, bounds=BOUNDS, golden={"time": 6})
    assert check(repository) == {"pool@1": None}
    inputs, outputs = read_golden(version.golden)
    assert inputs["frames"].shape == (4, 6, 4)
    mean = Pool().eval()(*map(torch.from_numpy, inputs.values()))[0]
    np.testing.assert_allclose(outputs["mean"], mean.detach(), atol=1e-6)
    assert set(version.card.properties) == {"parity_mean", "parity_best", "parity_each"}

    model = onnx.load(graph)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9
    onnx.save(model, tmp_path / "fixed.onnx")
    repository.publish(card(), tmp_path / "fixed.onnx", version.golden)
    (tmp_path / "broken.onnx").write_bytes(graph.read_bytes()[:100])
    repository.publish(card(), tmp_path / "broken.onnx", version.golden)
    (repository.root / "pool/aliases.json").write_text('{"stable": 9}')
    found = check(repository)
    assert found["pool@1"] is None
    assert "input 'frames'" in (found["pool@2"] or "")
    assert "cannot be loaded" in (found["pool@3"] or "")
    assert "alias stable means version 9" in (found["pool"] or "")

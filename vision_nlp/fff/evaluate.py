"""Soft and hard accuracy on the training and the test set, and how the tree is used."""

from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import torch

from common.claims.statistics import wilson_interval
from common.errors import OperatorError
from common.export.latency import microseconds
from common.registry.cards import render, write_whole
from common.training import checkpoint
from common.training.run import METRICS, Run, open_run, same_data
from contracts._base import Record
from contracts.models import Metric
from contracts.runs import RunManifest
from vision_nlp import pictures
from vision_nlp.fff.config import Config
from vision_nlp.fff.latency import serve_tree
from vision_nlp.fff.model import FFF, descend
from vision_nlp.fff.system import SYSTEM
from vision_nlp.pictures import Rows

CHUNK = 4096
"""Rows per forward pass."""
LATENCY_SECONDS = 0.2
"""For each batch size."""


class Figures(Record, frozen=True, kw_only=True):
    """Of one network. Accuracies are shares of 1; hard is what is served."""

    train_soft: float
    train_hard: float
    test_soft: float
    test_hard: float
    leaves_used: float
    """Share of the leaves that at least one test row reaches."""
    leaf_least: float
    """Share of the test rows that the least visited leaf gets."""
    leaves_effective: float
    """exp of the entropy of the test rows over leaves."""
    mean_max_p: float
    """Mean over test rows of the largest mixture weight: 1 when soft and hard routing agree."""
    node_entropy: float
    """Nats, mean over test rows and nodes."""
    master_share: float
    """1 - s of y = s * leaf + (1 - s) * master; 0 without a master leaf."""
    mac: int
    """Multiply-adds of hard inference per row."""


class Metrics(Figures, frozen=True, kw_only=True):
    """``metrics.json``."""

    latency_us: dict[int, float]
    """Median microseconds of one call of the graph that is served, by rows per call: ONNX Runtime, one thread."""


def evaluate(*, run: Path, data: Path | None) -> RunManifest:
    """Measure the selected checkpoint on the published test split; writes metrics.json and updates run.json.

    Raises OperatorError for a run that is not finished, or other data than it was trained on.
    """
    opened = open_run(run, SYSTEM.name)
    config, model, splits = load_trained(opened, data)
    n = {"train": len(splits.train.y), "test": len(splits.test.y)}
    figures = measure(model, splits.train, splits.test)
    metrics = tuple(
        _metric(name, split, value, n[split])
        for name, split, value in (
            ("accuracy", "test", figures.test_hard),
            ("accuracy_soft", "test", figures.test_soft),
            ("accuracy", "train", figures.train_hard),
            ("accuracy_soft", "train", figures.train_soft),
        )
    )
    rest = msgspec.structs.asdict(figures)
    properties = {
        **{name: value for name, value in rest.items() if not name.startswith(("train_", "test_"))},
        "soft_hard_gap": figures.test_soft - figures.test_hard,
        "depth": config.model.depth,
        "leaves": model.leaves,
        "leaf_width": config.model.leaf_width,
        "master_width": config.model.master_width,
        "hard_tuned": config.phases.tune.epochs > 0,
    }
    with TemporaryDirectory() as folder:
        graph = serve_tree(model, Path(folder) / "graph.onnx")
        latency = microseconds({"graph": graph}, splits.test.x.numpy(), LATENCY_SECONDS)["graph"]
    write_whole(run / METRICS, render(Metrics(**rest, latency_us={k: round(v, 1) for k, v in latency.items()})))
    return opened.update(metrics=metrics, properties=properties)


def _metric(name: str, split: str, share: float, n: int) -> Metric:
    return Metric(name=name, split=split, value=share, n=n, interval=wilson_interval(round(share * n), n))


def load_trained(run: Run, data: Path | None) -> tuple[Config, FFF, pictures.Splits]:
    """The configuration, the selected network in eval mode on the CPU, and its data. Raises OperatorError."""
    config = msgspec.convert(run.manifest.config, Config)
    splits = pictures.load(config.data, config.seed, data, torch.device("cpu"))
    same_data(run, (splits.images.train.source,))
    return config, load_model(run), splits


def load_model(run: Run) -> FFF:
    """The selected network in eval mode on the CPU. Raises OperatorError when the run is not finished."""
    if run.manifest.checkpoint is None:
        raise OperatorError(f"{run.folder}: the run is not finished; `kithara train fff --resume` goes on with it")
    tensors = checkpoint.read(run.folder / run.manifest.checkpoint).part("model")
    config = msgspec.convert(run.manifest.config, Config)
    model = FFF(tensors["w1"].shape[2], tensors["w2"].shape[1], config.model)
    model.load_state_dict(tensors)
    return model.eval()


def measure(model: FFF, train: Rows, test: Rows) -> Figures:
    """All figures of one network; puts it in eval mode."""
    model.eval()
    counts = torch.zeros(model.leaves, dtype=torch.int64)
    certainty = entropy = 0.0
    with torch.no_grad():
        for x in test.x.split(CHUNK):
            routed = model(x)
            counts += torch.bincount(descend(routed.node_logits), minlength=model.leaves).cpu()
            certainty += float(routed.mixture.amax(1).sum())
            # Unlike the loss, without the clamp: a hard node has no entropy.
            z = routed.node_logits.double()
            h = torch.nn.functional.softplus(z) - z * torch.sigmoid(z)
            entropy += float(h.mean(1).sum()) if model.leaves > 1 else 0.0
    n = len(test.y)
    share = counts[counts > 0] / n
    return Figures(
        train_soft=accuracy(model, train, hard=False),
        train_hard=accuracy(model, train, hard=True),
        test_soft=accuracy(model, test, hard=False),
        test_hard=accuracy(model, test, hard=True),
        leaves_used=len(share) / model.leaves,
        leaf_least=float(counts.min()) / n,
        leaves_effective=float(torch.exp(-(share * share.log()).sum())),
        mean_max_p=certainty / n,
        node_entropy=entropy / n,
        master_share=1 - model.share,
        mac=model.mac,
    )


def accuracy(model: FFF, rows: Rows, *, hard: bool) -> float:
    """Share of the rows that the network in eval mode labels right."""
    if model.training:
        raise ValueError("accuracy is measured in eval mode: dropout and region leak belong to training")
    with torch.no_grad():
        chunks = zip(rows.x.split(CHUNK), rows.y.split(CHUNK), strict=True)
        right = sum(int((model(x, hard=hard).logits.argmax(1) == y).sum()) for x, y in chunks)
    return right / len(rows.y)

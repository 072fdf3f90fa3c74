"""Accuracy of every sub-network, the cut, and early exits: chosen on validation rows, then measured on test rows."""

from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import nn

from common.claims.statistics import wilson_interval
from common.data.images import SETS
from common.errors import OperatorError
from common.registry.cards import render, write_whole
from common.training import checkpoint
from common.training.run import METRICS, Run, open_run, same_data
from contracts._base import Record
from contracts.models import Interval, Metric
from contracts.runs import RunManifest
from vision_nlp import pictures
from vision_nlp.acn.config import Config
from vision_nlp.acn.cut import TOLERANCES, choose_cut, paired_bootstrap
from vision_nlp.acn.early import Leaving, choose_exit, try_exits
from vision_nlp.acn.model import build
from vision_nlp.acn.system import SYSTEM
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows, Splits

CHUNK = 512
"""Rows per forward pass."""


class Depth(Record, frozen=True, kw_only=True):
    """Sub-network ``depth``; 0 is the bare embedding. Accuracies are shares of 1."""

    depth: int
    validation: float
    test: float
    validation_interval: Interval
    test_interval: Interval
    parameters: int
    bytes: int
    """Of the parameters, as they are stored."""


class Chosen(Record, frozen=True, kw_only=True):
    """The cut for one tolerance."""

    tolerance: float
    """Points of accuracy that might be lost on the validation rows."""
    depth: int
    validation: Interval
    """Of acc(depth) - acc(L), paired bootstrap; shares of 1."""
    test: Interval


class Figures(Record, frozen=True, kw_only=True):
    """``metrics.json``."""

    depths: tuple[Depth, ...]
    cuts: tuple[Chosen, ...]
    """By rising tolerance."""
    cut: Chosen
    """The one with the configured tolerance."""
    exits: tuple[int, ...]
    """Depths at which rows may leave."""
    leaving: tuple[Leaving, ...]
    """On validation rows, for every entropy tried."""
    chosen: Leaving
    """The cheapest of these within the configured tolerance..."""
    chosen_test: Leaving
    """...and what it does on test rows."""


def evaluate(*, run: Path, data: Path | None) -> RunManifest:
    """Measure the selected checkpoint; writes metrics.json and updates run.json.

    Raises OperatorError for a run that is not finished, or other data than it was trained on.
    """
    opened = open_run(run, SYSTEM.name)
    config, model, splits = load_trained(opened, data)
    figures = measure(model, config, splits)
    n = {"validation": len(splits.validation.y), "test": len(splits.test.y)}
    write_whole(run / METRICS, render(figures))
    return opened.update(metrics=_metrics(figures, n), properties=_properties(figures, config))


def load_trained(run: Run, data: Path | None) -> tuple[Config, AutoCompressing, Splits]:
    """The configuration, the selected network in eval mode on the CPU, and its data. Raises OperatorError."""
    config = msgspec.convert(run.manifest.config, Config)
    splits = pictures.load(config.data, config.seed, data, torch.device("cpu"))
    same_data(run, (splits.images.train.source,))
    return config, load_model(run), splits


def load_model(run: Run) -> AutoCompressing:
    """The selected network in eval mode on the CPU. Raises OperatorError when the run is not finished."""
    if run.manifest.checkpoint is None:
        raise OperatorError(f"{run.folder}: the run is not finished; `kithara train acn --resume` goes on with it")
    config = msgspec.convert(run.manifest.config, Config)
    known = SETS[config.data.name]
    model = build(config.model, pictures.shape(known), len(known.labels))
    model.load_state_dict(checkpoint.read(run.folder / run.manifest.checkpoint).part("model"))
    return model.eval()


def measure(model: AutoCompressing, config: Config, splits: Splits) -> Figures:
    """All figures of one network in eval mode."""
    validation, test = read_all(model, splits.validation), read_all(model, splits.test)
    labels = splits.validation.y.numpy(force=True), splits.test.y.numpy(force=True)
    right = validation.argmax(2) == labels[0], test.argmax(2) == labels[1]
    cuts = {t: _cut(right[0], right[1], t, config.seed) for t in sorted({*TOLERANCES, config.cut.tolerance})}
    tried = try_exits(validation, labels[0], config.leaves)
    chosen = choose_exit(tried, float(right[0][-1].mean()), config.cut.exit_tolerance)
    (chosen_test,) = try_exits(test, labels[1], config.leaves, (chosen.entropy,))
    return Figures(
        depths=tuple(_depth(model, k, right[0][k], right[1][k]) for k in range(model.depth + 1)),
        cuts=tuple(cuts.values()),
        cut=cuts[config.cut.tolerance],
        exits=config.leaves,
        leaving=tried,
        chosen=chosen,
        chosen_test=chosen_test,
    )


@torch.no_grad()
def read_all(model: AutoCompressing, rows: Rows) -> np.ndarray:
    """float32 (L + 1, n, classes): what every sub-network answers. Raises ValueError for a network in train mode."""
    _in_eval_mode(model)
    return np.concatenate([model.forward_all(x).numpy(force=True) for x in rows.x.split(CHUNK)], axis=1)


@torch.no_grad()
def accuracy(model: nn.Module, rows: Rows) -> float:
    """Share of the rows that the network labels right. Raises ValueError for a network in train mode."""
    _in_eval_mode(model)
    chunks = zip(rows.x.split(CHUNK), rows.y.split(CHUNK), strict=True)
    return sum(int((model(x).argmax(1) == y).sum()) for x, y in chunks) / len(rows.y)


def _in_eval_mode(model: nn.Module) -> None:
    if model.training:
        raise ValueError("accuracy is measured in eval mode: dropout belongs to training")


def _cut(validation: np.ndarray, test: np.ndarray, tolerance: float, seed: int) -> Chosen:
    cut = choose_cut(validation, tolerance, seed)
    measured = paired_bootstrap(test[cut.depth], test[-1], seed)
    return Chosen(tolerance=tolerance, depth=cut.depth, validation=cut.difference, test=measured)


def _depth(model: AutoCompressing, k: int, validation: np.ndarray, test: np.ndarray) -> Depth:
    parameters = list(model.truncate(k).parameters())
    return Depth(
        depth=k,
        validation=float(validation.mean()),
        test=float(test.mean()),
        validation_interval=wilson_interval(int(validation.sum()), len(validation)),
        test_interval=wilson_interval(int(test.sum()), len(test)),
        parameters=sum(p.numel() for p in parameters),
        bytes=sum(p.numel() * p.element_size() for p in parameters),
    )


def _metrics(figures: Figures, n: dict[str, int]) -> tuple[Metric, ...]:
    full, cut = figures.depths[-1], figures.depths[figures.cut.depth]
    shares = (
        ("accuracy", "test", full.test),
        ("accuracy_cut", "test", cut.test),
        ("accuracy_exit", "test", figures.chosen_test.accuracy),
        ("accuracy", "validation", full.validation),
        ("accuracy_cut", "validation", cut.validation),
        ("accuracy_exit", "validation", figures.chosen.accuracy),
    )
    return tuple(
        Metric(
            name=name, split=split, value=share, n=n[split], interval=wilson_interval(round(share * n[split]), n[split])
        )
        for name, split, share in shares
    )


def _properties(figures: Figures, config: Config) -> dict[str, float | int | str | bool]:
    full, cut = figures.depths[-1], figures.depths[figures.cut.depth]
    return {
        "mode": config.model.mode,
        "backbone": config.model.backbone,
        "layers": full.depth,
        "cut": cut.depth,
        "cut_tolerance": figures.cut.tolerance,
        "cut_difference_low": figures.cut.test.low,
        "cut_difference_high": figures.cut.test.high,
        "parameters": full.parameters,
        "parameters_cut": cut.parameters,
        "bytes": full.bytes,
        "bytes_cut": cut.bytes,
        "exit_tolerance": config.cut.exit_tolerance,
        "exit_entropy": figures.chosen.entropy,
        "exit_mean_depth": figures.chosen_test.mean_depth,
        **{f"cut_{chosen.tolerance:g}": chosen.depth for chosen in figures.cuts},
        **{f"accuracy_{depth.depth}": depth.test for depth in figures.depths},
    }

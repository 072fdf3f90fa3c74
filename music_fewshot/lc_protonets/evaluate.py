"""The selected checkpoint on test episodes: every rule, every number of tags, with intervals."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from common.errors import OperatorError
from common.registry.cards import render, write_whole
from common.training import checkpoint
from common.training.run import METRICS, Run, open_run, same_data
from contracts._base import Record
from contracts.models import Interval, Metric, Use
from contracts.runs import RunManifest
from music_fewshot.lc_protonets.config import Config
from music_fewshot.lc_protonets.corpora import Corpus
from music_fewshot.lc_protonets.data import load, source
from music_fewshot.lc_protonets.embedding import embed_split
from music_fewshot.lc_protonets.model import Embedder
from music_fewshot.lc_protonets.protocol import TaskFigures, all_figures, usable_tags
from music_fewshot.lc_protonets.system import SYSTEM


class Figures(Record, frozen=True, kw_only=True):
    """``metrics.json``: what the export needs, and what its card says in short."""

    use: Use
    tags: tuple[str, ...]
    """Of the corpus, base tags first."""
    base: int
    shots: int
    seeds: tuple[int, ...]
    largest: float
    """Largest absolute number in the embeddings of the test split."""
    embedding_seconds: float
    """For the whole test split, on the machine that evaluated."""
    matching_seconds: float
    """For all episodes and rules."""
    tasks: tuple[TaskFigures, ...]


class Trained(NamedTuple):
    """A finished run, ready to embed."""

    config: Config
    corpus: Corpus
    model: Embedder
    """In eval mode, on the CPU."""


def evaluate(*, run: Path, data: Path | None) -> RunManifest:
    """Measure the selected checkpoint on the test split; writes metrics.json and updates run.json.

    Raises OperatorError for a run that is not finished, or other data than it was trained on.
    """
    opened = open_run(run, SYSTEM.name)
    config, corpus, model = load_trained(opened, data)
    test, options = corpus.splits["test"], config.evaluation
    began = time.perf_counter()
    embeddings = embed_split(model, test)
    embedded = time.perf_counter()
    found = tuple(all_figures(embeddings, test.truth, corpus.base, options))
    figures = Figures(
        use=corpus.use,
        tags=corpus.tags,
        base=corpus.base,
        shots=options.shots,
        seeds=options.seeds,
        largest=float(np.abs(embeddings).max()),
        embedding_seconds=embedded - began,
        matching_seconds=time.perf_counter() - embedded,
        tasks=found,
    )
    write_whole(run / METRICS, render(figures))
    tested = usable_tags(test.truth, corpus.base, options.shots)
    properties = {
        "method": config.episodic.method if config.episodic.epochs else "none",
        "trained": trained_in(config),
        "shots": options.shots,
        "episodes": len(options.seeds),
        "base_tags": corpus.base,
        "novel_tags": len(corpus.tags) - corpus.base,
        "tags_too_rare_to_test": len(corpus.tags) - len(tested.columns),
        "dimensions": config.model.dimensions,
        "parameters": sum(p.numel() for p in model.backbone.parameters()),
    }
    return opened.update(metrics=tuple(metrics(found)), properties=properties)


def load_trained(run: Run, data: Path | None) -> Trained:
    """The selected network of a finished run, and its data. Raises OperatorError."""
    config = msgspec.convert(run.manifest.config, Config)
    corpus = load(config, data)
    same_data(run, (source(corpus),))
    return Trained(config, corpus, load_model(run))


def load_model(run: Run) -> Embedder:
    """The selected network in eval mode on the CPU. Raises OperatorError when the run is not finished."""
    if run.manifest.checkpoint is None:
        raise OperatorError(
            f"{run.folder}: the run is not finished; `kithara train {SYSTEM.name} --resume` goes on with it"
        )
    tensors = checkpoint.read(run.folder / run.manifest.checkpoint).part("model")
    return Embedder.restore(tensors, msgspec.convert(run.manifest.config, Config).model)


def trained_in(config: Config) -> str:
    """The paper's name of the set-up."""
    if not config.episodic.epochs:
        return "pre"
    return config.episodic.trained if config.pretrain.epochs or config.start else "scratch"


def metrics(tasks: tuple[TaskFigures, ...]) -> Iterator[Metric]:
    """Means over the episodes, with t intervals; the split is the task, e.g. ``novel-15``."""
    for task in tasks:
        split, n = f"{task.choice}-{task.ways}", min(task.queries)
        for rule in task.rules:
            yield _mean(f"{rule.rule}_macro_f1", split, rule.macro_f1, n, rule.macro_interval)
            yield _mean(f"{rule.rule}_micro_f1", split, rule.micro_f1, n, rule.micro_interval)
            yield _mean(f"{rule.rule}_predicted", split, rule.predicted, n)
        yield _mean("true", split, task.true, n)


def _mean(name: str, split: str, values: tuple[float, ...], n: int, interval: Interval | None = None) -> Metric:
    return Metric(name=name, split=split, value=sum(values) / len(values), n=n, interval=interval)

"""One data set under all set-ups and methods of the paper, seed by seed."""

from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import convert
from msgspec.structs import replace

from common.claims.harness import Condition
from common.training.run import open_run
from music_fewshot.lc_protonets.config import Config, Data, Episodic, Method, Model, Pretrain
from music_fewshot.lc_protonets.corpora import Corpus, load
from music_fewshot.lc_protonets.embedding import embed_split
from music_fewshot.lc_protonets.evaluate import load_model
from music_fewshot.lc_protonets.metrics import F1
from music_fewshot.lc_protonets.protocol import Scored, Task, episode_figures, tasks, usable_tags
from music_fewshot.lc_protonets.system import SYSTEM
from music_fewshot.lc_protonets.train import train

PRE = "pre"
SETUPS = ("scratch", "full", "last")
METHODS: tuple[Method, ...] = ("lcp", "ml_pn", "ovr")
SHOTS = 3
TOLD = ("lcp", "ml_pn", "topk", "threshold", "blend", "centred", "all_ones", "nearest")
"""Rules and controls whose F1 the report shows."""
PART = {"novel": 15, "both": 30}
"""Tags of the narrower episodes that the untuned network is asked besides, where a split has more."""

NETWORKS = {
    "waveform": Model(mels=64, channels=(16, 24, 32, 48), dimensions=64, dropout=0.2),
    "image": Model(channels=(12, 24, 32, 48), dimensions=64, dropout=0.2),
    "features": Model(channels=(128,), dimensions=64, dropout=0.2),
}
SHORT_WINDOW = 12_288
"""Samples: for clips of one second."""


class Scale(NamedTuple):
    """How much is spent."""

    seeds: int
    pretrain: int
    """Epochs"""
    epochs: int
    episodes: int
    """Of an epoch"""


QUICK, FULL = Scale(seeds=3, pretrain=8, epochs=2, episodes=15), Scale(seeds=5, pretrain=20, epochs=4, episodes=25)


class Study:
    """Trains and measures on one data set; runs lie in ``folder``."""

    def __init__(self, name: str, data: Path | None, scale: Scale, folder: Path) -> None:
        self.corpus = load(name, data)
        self._data, self._scale, self._folder = data, scale, folder
        self._pretrained = cache(self._pretrain)
        self._tags = usable_tags(self.corpus.splits["test"].truth, self.corpus.base, SHOTS)
        self._tasks = tasks(self._tags, tuple(PART.values()))
        self._embeddings: dict[tuple[str, int], np.ndarray] = {}

    def conditions(self) -> dict[str, Condition]:
        """``pre``, and each set-up with each method; a condition is one of these in one kind of episode."""
        trainings: dict[str, Callable[[int], Path]] = {PRE: self._pretrained}
        trainings |= {
            f"{setup} {method}": partial(self._tuned, setup, method) for setup in SETUPS for method in METHODS
        }
        cells = {named(task, self._tasks): task for task in self._tasks}
        return {
            f"{training}, {cell}": partial(self._measure, training, run, task)
            for training, run in trainings.items()
            for cell, task in cells.items()
            if cell == task.choice or (training == PRE and task.ways == PART.get(task.choice))
        }

    def _pretrain(self, seed: int) -> Path:
        return self._train(config(self.corpus, seed, self._scale))

    def _tuned(self, setup: str, method: Method, seed: int) -> Path:
        start = None if setup == "scratch" else str(self._pretrained(seed))
        trained = "last" if setup == "last" else "full"
        return self._train(config(self.corpus, seed, self._scale, method=method, trained=trained, start=start))

    def _train(self, chosen: Config) -> Path:
        # Dozens of short runs: their events are of no interest, only their figures are.
        with redirect_stderr(StringIO()):
            return train(config=chosen, data=self._data, out=self._folder, command=f"kithara claims {SYSTEM.name}")

    def _measure(self, training: str, run: Callable[[int], Path], task: Task, seed: int) -> dict[str, float]:
        if (training, seed) not in self._embeddings:
            model = load_model(open_run(run(seed), SYSTEM.name))
            self._embeddings = {(training, seed): embed_split(model, self.corpus.splits["test"])}
        truth = self.corpus.splits["test"].truth
        embeddings = self._embeddings[training, seed]
        return flat(episode_figures(embeddings, truth, self._tags, task, shots=SHOTS, seed=seed))


def named(task: Task, every: Sequence[Task]) -> str:
    """``novel`` for all tags of a split, ``novel-15`` for some."""
    most = max(other.ways for other in every if other.choice == task.choice)
    return task.choice if task.ways == most else f"{task.choice}-{task.ways}"


def flat(scored: Scored) -> dict[str, float]:
    """The figures of a condition, by name."""
    found = {f"{rule} {name}": figure for rule in TOLD for name, figure in _told(scored.rules[rule]).items()}
    return found | {
        "true": scored.rules["all_ones"].true,
        "tags": scored.rules["all_ones"].predicted,
        "support": float(scored.support),
        "queries": float(scored.queries),
        "combinations": float(scored.combinations),
        "closed sets": float(scored.closed_sets),
        "exact": float(scored.exact),
    }


def _told(score: F1) -> dict[str, float]:
    return {"macro": score.macro, "micro": score.micro, "told": score.predicted}


def config(
    corpus: Corpus,
    seed: int,
    scale: Scale,
    *,
    method: Method | None = None,
    trained: str = "full",
    start: str | None = None,
) -> Config:
    """Supervised training (no ``method``), or episodes for a method, from ``start`` or from nothing."""
    validation = max(1, corpus.base // 5)
    model = NETWORKS[corpus.kind]
    if corpus.kind == "waveform" and corpus.splits["train"].inputs.shape[1] < model.window:
        model = replace(model, window=SHORT_WINDOW)
    return Config(
        seed=seed,
        start=start,
        data=convert({"name": corpus.name, "validation_tags": validation}, Data),
        model=model,
        pretrain=Pretrain(epochs=0 if method else scale.pretrain, lr=3e-3),
        episodic=Episodic(
            epochs=scale.epochs if method else 0,
            method=method or "lcp",
            trained="last" if trained == "last" else "full",
            lr=1e-3,
            episodes=scale.episodes,
            ways=min(10, corpus.base - validation),
        ),
    )

"""One data set under all set-ups and methods of the paper, seed by seed."""

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from msgspec import convert
from msgspec.structs import replace

from common.claims.harness import Condition
from common.training.run import open_run
from music_fewshot.lc_protonets.config import Config, Data, Episodic, Method, Model, Pretrain
from music_fewshot.lc_protonets.corpora import Corpus, load
from music_fewshot.lc_protonets.embedding import embed_split
from music_fewshot.lc_protonets.evaluate import load_model
from music_fewshot.lc_protonets.protocol import episode_figures, tasks, usable_tags
from music_fewshot.lc_protonets.system import SYSTEM
from music_fewshot.lc_protonets.train import train

PRE = "pre"
SETUPS = ("scratch", "full", "last")
METHODS: tuple[Method, ...] = ("lcp", "ml_pn", "ovr")
SHOTS = 3
TOLD = ("lcp", "ml_pn", "topk", "blend", "all_ones")
"""Rules whose F1 the report shows."""

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

    def conditions(self) -> dict[str, Condition]:
        """``pre``, and each set-up with each method."""
        tuned = {f"{setup} {method}": partial(self._tuned, setup, method) for setup in SETUPS for method in METHODS}
        return {PRE: lambda seed: self._measure(self._pretrained(seed), seed), **tuned}

    def _pretrain(self, seed: int) -> Path:
        return self._train(config(self.corpus, seed, self._scale))

    def _tuned(self, setup: str, method: Method, seed: int) -> dict[str, float]:
        start = None if setup == "scratch" else str(self._pretrained(seed))
        trained = "last" if setup == "last" else "full"
        run = self._train(config(self.corpus, seed, self._scale, method=method, trained=trained, start=start))
        return self._measure(run, seed)

    def _train(self, chosen: Config) -> Path:
        return train(config=chosen, data=self._data, out=self._folder, command=f"kithara claims {SYSTEM.name}")

    def _measure(self, run: Path, seed: int) -> dict[str, float]:
        """Macro- and micro-F1 and number of tags told, for all base, all novel and all tags."""
        test = self.corpus.splits["test"]
        embeddings = embed_split(load_model(open_run(run, SYSTEM.name)), test)
        tags = usable_tags(test.truth, self.corpus.base, SHOTS)
        found: dict[str, float] = {}
        for task in tasks(tags, ()):
            scored = episode_figures(embeddings, test.truth, tags, task, shots=SHOTS, seed=seed)
            for rule in TOLD:
                told = scored.rules[rule]
                found[f"{task.choice} {rule} macro"] = told.macro
                found[f"{task.choice} {rule} micro"] = told.micro
                found[f"{task.choice} {rule} told"] = told.predicted
            found[f"{task.choice} true"] = scored.rules["all_ones"].true
            found[f"{task.choice} combinations"] = float(scored.combinations)
            found[f"{task.choice} closed sets"] = float(scored.closed_sets)
            found[f"{task.choice} exact"] = float(scored.exact)
        return found


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

"""Every sub-network of the selected checkpoint, the cut among them, and a bag of words on the same texts.

Thresholds (one set for each depth) and the cut are chosen on the development split.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from common.data.emotions import Emotions
from common.errors import OperatorError
from common.registry.cards import render, write_whole
from common.text.features import TOKENIZER, probabilities, read_tokenizer
from common.text.figures import Figures, measured
from common.text.thresholds import best_thresholds
from common.text.words import bag_of_words
from common.training import checkpoint
from common.training.run import METRICS, Run, open_run, same_data
from contracts.models import Metric
from contracts.runs import RunManifest
from vision_nlp.acn_text.config import Config
from vision_nlp.acn_text.cut import Cut, choose_depth
from vision_nlp.acn_text.data import load, rows
from vision_nlp.acn_text.model import Learner
from vision_nlp.acn_text.system import SYSTEM
from vision_nlp.acn_text.train import logits

CUT = "cut"
"""The property that names the depth of the published network."""


class Said(NamedTuple):
    """What somebody says of the texts of two splits."""

    dev: np.ndarray
    """bool (..., texts, labels)"""
    test: np.ndarray


def evaluate(*, run: Path, data: Path | None) -> RunManifest:
    """Measure the selected checkpoint; writes metrics.json and updates run.json.

    Plain names are figures of the network as published, cut; ``depth_<k>_`` those of sub-network k.
    ``test_strict`` leaves out texts that stand in the training split as well. Figures on ``dev`` are those that chose
    checkpoint, thresholds and cut.

    Raises OperatorError for a run that is not finished, or other data than it was trained on.
    """
    opened = open_run(run, SYSTEM.name)
    config = msgspec.convert(opened.manifest.config, Config)
    emotions = load(config, data)
    same_data(opened, (emotions.source,))
    learner = load_learner(opened)
    said, thresholds = depths(learner, config, emotions, opened)
    cut = choose_depth(said.dev, emotions.truth(emotions.split("dev")), config.tolerance)
    metrics = (
        *_splits("", emotions, Said(said.dev[cut.depth], said.test[cut.depth])),
        *(m for k in range(len(said.test)) for m in _depth(k, emotions, Said(said.dev[k], said.test[k]))),
        *_splits("bag_of_words_", emotions, words(emotions)),
        *_most_frequent(emotions),
    )
    figures = Figures(labels=emotions.labels, thresholds=tuple(thresholds[cut.depth].tolist()), metrics=metrics)
    write_whole(run / METRICS, render(figures))
    return opened.update(metrics=metrics, properties=properties(learner, config, emotions, cut))


def load_learner(run: Run) -> Learner:
    """The selected network in eval mode on the CPU. Raises OperatorError when the run is not finished."""
    if run.manifest.checkpoint is None:
        raise OperatorError(
            f"{run.folder}: the run is not finished; `kithara train {SYSTEM.name} --resume` goes on with it"
        )
    tensors = checkpoint.read(run.folder / run.manifest.checkpoint).part("model")
    config = msgspec.convert(run.manifest.config, Config)
    vocabulary, labels = len(tensors["words.bias"]), len(tensors["network.head.3.bias"])
    learner = Learner(config.model, vocabulary, config.tokens.longest, labels)
    learner.load_state_dict(tensors)
    return learner.eval()


def depths(learner: Learner, config: Config, emotions: Emotions, run: Run) -> tuple[Said, np.ndarray]:
    """What sub-networks 0..L say, bool (L + 1, texts, labels), and under which thresholds, float64 (L + 1, labels)."""
    tokenizer = read_tokenizer(run.folder / TOKENIZER)
    dev, test = emotions.split("dev"), emotions.split("test")
    asked = [
        probabilities(logits(learner, rows(emotions, texts, tokenizer, config.tokens.longest))) for texts in (dev, test)
    ]
    truth = emotions.truth(dev)
    thresholds = np.stack([best_thresholds(p, truth) for p in asked[0]])
    return Said(*(p >= thresholds[:, None] for p in asked)), thresholds


def words(emotions: Emotions) -> Said:
    """The honest rival, under thresholds of its own."""
    train, dev, test = (emotions.split(name) for name in ("train", "dev", "test"))
    texts = [[text.text for text in split] for split in (train, dev, test)]
    asked = bag_of_words(texts[0], emotions.truth(train), *texts[1:])
    thresholds = best_thresholds(asked[0], emotions.truth(dev))
    return Said(*(p >= thresholds for p in asked))


def properties(learner: Learner, config: Config, emotions: Emotions, cut: Cut) -> dict[str, str | int | float | bool]:
    """What ``run.json`` and the card say besides the figures."""
    network = learner.network
    return {
        "mode": config.model.mode,
        "layers": network.depth,
        CUT: cut.depth,
        "cut_tolerance_points": config.tolerance,
        "cut_difference_low": cut.difference.low,
        "cut_difference_high": cut.difference.high,
        "parameters": sum(p.numel() for p in network.truncate(cut.depth).parameters()),
        "parameters_whole": sum(p.numel() for p in network.parameters()),
        "width": config.model.width,
        "vocabulary": learner.embed.vocabulary,
        "seen_in_training": int((~emotions.unseen(emotions.split("test"))).sum()),
    }


def _splits(prefix: str, emotions: Emotions, said: Said) -> Iterator[Metric]:
    dev, test = emotions.split("dev"), emotions.split("test")
    truth, kept = emotions.truth(test), emotions.unseen(test)
    yield from measured(prefix, "test", said.test, truth)
    yield from measured(prefix, "test_strict", said.test[kept], truth[kept])
    yield from measured(prefix, "dev", said.dev, emotions.truth(dev))


def _depth(k: int, emotions: Emotions, said: Said) -> Iterator[Metric]:
    for split, answers in (("test", said.test), ("dev", said.dev)):
        yield from measured(f"depth_{k}_", split, answers, emotions.truth(emotions.split(split)))


def _most_frequent(emotions: Emotions) -> Iterator[Metric]:
    """Who always says the most frequent label of training and nothing else."""
    truth = emotions.truth(emotions.split("test"))
    said = np.zeros_like(truth)
    said[:, emotions.truth(emotions.split("train")).sum(0).argmax()] = True
    yield from measured("most_frequent_", "test", said, truth)

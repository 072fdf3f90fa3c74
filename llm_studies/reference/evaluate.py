"""The selected checkpoint and a bag of words on the same texts, under thresholds chosen on the development split."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from tokenizers import Tokenizer

from common.claims.similarity import MEASURES
from common.errors import OperatorError
from common.registry.cards import render, write_whole
from common.text.features import TOKENIZER, read_tokenizer
from common.text.figures import Figures, measured
from common.text.thresholds import best_thresholds
from common.text.words import bag_of_words
from common.training import checkpoint
from common.training.run import METRICS, Run, open_run, same_data
from contracts.models import Metric
from contracts.reference import ReferencePrediction
from contracts.runs import RunManifest
from llm_studies.icl_priors.chance import trivial_levels
from llm_studies.icl_priors.items import Corpus, Item, matrix
from llm_studies.reference.config import Config
from llm_studies.reference.data import load, rows, source, unseen
from llm_studies.reference.model import Encoder
from llm_studies.reference.system import SYSTEM
from llm_studies.reference.train import scores

PREDICTIONS = "predictions.jsonl"


class Trained(NamedTuple):
    """A finished run, ready to answer."""

    config: Config
    corpus: Corpus
    tokenizer: Tokenizer
    model: Encoder
    """In eval mode, on the CPU."""

    def probabilities(self, items: Sequence[Item]) -> np.ndarray:
        """float64 (items, labels)"""
        longest = self.config.tokens.longest
        return scores(self.model, rows(items, self.config.data.annotator, self.tokenizer, longest, torch.device("cpu")))


def evaluate(*, run: Path, data: Path | None) -> RunManifest:
    """Measure the selected checkpoint; writes metrics.json and predictions.jsonl (dev and test), updates run.json.

    ``test_strict`` leaves out texts that stand in the training split as well. Figures on ``dev`` are those that chose
    checkpoint and thresholds.

    Raises OperatorError for a run that is not finished, or other data than it was trained on.
    """
    opened = open_run(run, SYSTEM.name)
    trained = load_trained(opened, data)
    corpus, annotator = trained.corpus, trained.config.data.annotator
    dev, test = corpus.split("dev"), corpus.split("test")
    asked = [trained.probabilities(dev), trained.probabilities(test)]
    thresholds = best_thresholds(asked[0], matrix(dev, annotator))
    said = [p >= thresholds for p in asked]
    metrics = (
        *_splits("", corpus, annotator, said),
        *_splits("bag_of_words_", corpus, annotator, _words(corpus, annotator)),
        *_others(corpus, annotator, said[1]),
    )
    write_whole(run / PREDICTIONS, predictions((*dev, *test), np.concatenate(said), corpus.labels))
    figures = Figures(labels=corpus.labels, thresholds=tuple(thresholds.tolist()), metrics=metrics)
    write_whole(run / METRICS, render(figures))
    config = trained.config
    properties = {
        "annotator": annotator,
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "vocabulary": trained.model.vocabulary,
        "layers": config.model.layers,
        "width": config.model.width,
        "seen_in_training": int((~unseen(corpus, test)).sum()),
    }
    return opened.update(metrics=metrics, properties=properties)


def load_trained(run: Run, data: Path | None) -> Trained:
    """The selected network of a finished run. Raises OperatorError."""
    config = msgspec.convert(run.manifest.config, Config)
    corpus = load(config, data)
    same_data(run, (source(corpus),))
    return Trained(config, corpus, read_tokenizer(run.folder / TOKENIZER), load_model(run))


def load_model(run: Run) -> Encoder:
    """The selected network in eval mode on the CPU. Raises OperatorError when the run is not finished."""
    if run.manifest.checkpoint is None:
        raise OperatorError(
            f"{run.folder}: the run is not finished; `kithara train reference --resume` goes on with it"
        )
    tensors = checkpoint.read(run.folder / run.manifest.checkpoint).part("model")
    config = msgspec.convert(run.manifest.config, Config)
    model = Encoder(len(tensors["embedding.weight"]), config.tokens.longest, tensors["names"], config.model)
    model.load_state_dict(tensors)
    return model.eval()


def predictions(items: Sequence[Item], said: np.ndarray, labels: Sequence[str]) -> bytes:
    """JSON Lines that a priors study takes as its ``reference``; no text in it. ``said`` is bool (items, labels)."""
    lines = (
        ReferencePrediction(id=item.id, labels=tuple(name for name, on in zip(labels, row, strict=True) if on))
        for item, row in zip(items, said.tolist(), strict=True)
    )
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def _words(corpus: Corpus, annotator: str) -> list[np.ndarray]:
    """Labels of dev and test by the bag of words, under its own thresholds."""
    train, *asked = (corpus.split(split) for split in ("train", "dev", "test"))
    texts = [[item.text for item in items] for items in (train, *asked)]
    dev, test = bag_of_words(texts[0], matrix(train, annotator), *texts[1:])
    thresholds = best_thresholds(dev, matrix(asked[0], annotator))
    return [dev >= thresholds, test >= thresholds]


def _splits(prefix: str, corpus: Corpus, annotator: str, said: Sequence[np.ndarray]) -> Iterator[Metric]:
    dev, test = corpus.split("dev"), corpus.split("test")
    kept = unseen(corpus, test)
    truth = matrix(test, annotator)
    yield from measured(prefix, "test", said[1], truth)
    yield from measured(prefix, "test_strict", said[1][kept], truth[kept])
    yield from measured(prefix, "dev", said[0], matrix(dev, annotator))


def _others(corpus: Corpus, annotator: str, said: np.ndarray) -> Iterator[Metric]:
    """On the test split: what needs no model; and the same answers against everybody else's labels."""
    test = corpus.split("test")
    for level in trivial_levels(matrix(test, annotator)):
        for name in MEASURES:
            label = f"{level.name.replace(' ', '_')}_{name}"
            yield Metric(name=label, split="test", value=getattr(level, name), n=len(test))
    for other in corpus.annotators:
        if other != annotator:
            yield from measured(f"{other.lower()}_", "test", said, matrix(test, other))

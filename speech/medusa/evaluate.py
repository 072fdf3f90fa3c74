"""A finished ensemble on test and dev: as published, by vote, by its members alone, and its calibration.

Plain names are figures of the ensemble as it is exported. Figures on ``dev`` are those that chose epochs and
temperature. Clips without a consensus have no label to be compared with and count in no figure but the attributes'.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from torch import Tensor

from common.registry.cards import render, write_whole
from common.training import checkpoint
from common.training.run import METRICS, Run, open_run, same_data
from contracts.models import Metric
from contracts.runs import RunManifest
from contracts.speech import FRAMES, FUNCTIONALS
from speech.medusa import ensemble, meta, rival
from speech.medusa.calibrate import calibration_error, log_softmax, reliability
from speech.medusa.config import ATTRIBUTES, Config
from speech.medusa.data import load
from speech.medusa.drawings import draw
from speech.medusa.ensemble import Trained
from speech.medusa.figures import Figures, Reliability, concordance, confusion, macro_f1, measured, per_class
from speech.medusa.members import Said, judge
from speech.medusa.rows import Rows, Sets
from speech.medusa.streams import read_sources, with_streams
from speech.medusa.system import SYSTEM
from speech.medusa.train import OUT_OF_FOLD, beside


class Answers(NamedTuple):
    """What everybody says of one split."""

    rows: Rows
    said: tuple[Said, ...]
    """Of the members."""
    logits: np.ndarray
    """float32 (n, classes), of the ensemble"""
    attributes: np.ndarray | None
    """float32 (n, 3)"""

    @property
    def vote(self) -> np.ndarray:
        """float64 (n, classes): the mean of the members' probabilities."""
        return np.mean([np.exp(log_softmax(one.logits.numpy())) for one in self.said], axis=0)

    @property
    def hard(self) -> np.ndarray:
        """int64 (n,): the majority of the members' answers; of a tie, the class with the larger mean probability."""
        classes = self.logits.shape[1]
        votes = sum(np.eye(classes)[one.logits.argmax(1).numpy()] for one in self.said)
        return (votes + self.vote / 2).argmax(1)


def evaluate(*, run: Path, data: Path | None) -> RunManifest:
    """Measure the ensemble; writes metrics.json and two figures and updates run.json.

    Raises OperatorError for a run that is not finished, other data or encoders than it was trained with, and parts that
    do not fit one another.
    """
    opened = open_run(run, SYSTEM.name)
    config = msgspec.convert(opened.manifest.config, Config)
    trained = ensemble.load(opened, config)
    sets = read_again(opened, config, data, trained)
    test, dev = answers(trained, sets.test), answers(trained, sets.dev)
    figures = all_figures(opened, config, sets, trained, test, dev)
    write_whole(run / METRICS, render(figures))
    draw(figures, run)
    sizes = {"parameters": sum(p.numel() for m in (*trained.members, trained.meta) for p in m.parameters())}
    kept = {"members": len(trained.members), "temperature": trained.card.temperature, "soft_targets": sets.soft}
    return opened.update(metrics=figures.metrics, properties=opened.manifest.properties | sizes | kept)


def read_again(run: Run, config: Config, data: Path | None, trained: Trained) -> Sets:
    """The data of the run with its streams. Raises OperatorError where they are not what the members were fitted to."""
    sets = load(config, data, beside(run.folder))
    same_data(run, (sets.source,))
    sets = with_streams(sets, config, read_sources(config, run.folder))
    ensemble.same_meaning(trained.card, sets)
    return sets


def answers(trained: Trained, rows: Rows) -> Answers:
    """Of every member and of the ensemble."""
    said = tuple(judge(member, rows) for member in trained.members)
    with torch.no_grad():
        logits, attributes = trained.meta(meta.answers(said, trained.card.judged))
    return Answers(rows, said, logits.numpy(), None if attributes is None else attributes.numpy())


def all_figures(run: Run, config: Config, sets: Sets, trained: Trained, test: Answers, dev: Answers) -> Figures:
    """``metrics.json``."""
    # The made set is frames without a recording behind them, and the baseline's strength is chosen across speakers.
    described = config.data.name != "synthetic" and bool({FRAMES, FUNCTIONALS} & test.rows.streams.keys())
    heard = described and len(set(sets.train.speakers)) > 2
    agreed = test.rows.consensus.numpy()
    labels = test.rows.labels.numpy()[agreed]
    calm = np.exp(log_softmax(test.logits[agreed] / trained.card.temperature))
    found = (
        *(metric for split, asked in (("test", test), ("dev", dev)) for metric in split_figures(split, asked, trained)),
        *per_class("test", test.logits[agreed].argmax(1), labels, sets.classes),
        *(beside_baseline(sets, test) if heard else ()),
        *(out_of_fold(run, sets, heard) if config.meta.kind == "linear" and not config.meta.on_train else ()),
    )
    return Figures(
        classes=sets.classes,
        attributes=ATTRIBUTES,
        judged=trained.card.judged,
        soft=sets.soft,
        use=sets.use,
        temperature=trained.card.temperature,
        confusion=tuple(map(tuple, confusion(calm.argmax(1), labels, len(sets.classes)).tolist())),
        reliability=tuple(
            Reliability(confidence=confidence, accuracy=accuracy, clips=clips)
            for confidence, accuracy, clips in reliability(calm, labels)
        ),
        metrics=found,
    )


def beside_baseline(sets: Sets, test: Answers) -> Iterator[Metric]:
    """The ensemble as published, against the baseline, on test."""
    agreed = test.rows.consensus
    rows, ours = test.rows.select(agreed), test.logits[agreed.numpy()].argmax(1)
    theirs = rival.asked(rival.usable(sets.train), rows, len(sets.classes))
    yield from rival.compared("test", ours, theirs, rows.labels.numpy(), sets.classes)


def split_figures(split: str, asked: Answers, trained: Trained) -> Iterator[Metric]:
    """The ensemble, its calibration, its attributes, the votes, the members and the single meta-classifiers."""
    classes, agreed = trained.card.classes, asked.rows.consensus.numpy()
    labels, n = asked.rows.labels.numpy()[agreed], int(agreed.sum())
    yield from measured("", split, asked.logits[agreed].argmax(1), labels, classes)
    yield from _calibration(split, asked, trained.card.temperature)
    if asked.attributes is not None:
        yield from _concordances(split, asked.attributes, asked.rows.attributes.numpy())
    yield from measured("soft_vote_", split, asked.vote[agreed].argmax(1), labels, classes)
    yield from measured("hard_vote_", split, asked.hard[agreed], labels, classes)
    for number, one in enumerate(asked.said):
        said = one.logits.argmax(1).numpy()[agreed]
        yield from measured(f"member_{number:02d}_", split, said, labels, classes)
    inputs = meta.answers(asked.said, trained.card.judged)
    for number, single in enumerate(trained.runs):
        with torch.no_grad():
            said = single(inputs)[0].argmax(1).numpy()[agreed]
        yield Metric(name=f"meta_run_{number}_macro_f1", split=split, value=macro_f1(said, labels, len(classes)), n=n)


def out_of_fold(run: Run, sets: Sets, heard: bool) -> Iterator[Metric]:
    """The soft vote, the members and (``heard``) the baseline on training clips of speakers that they never heard."""
    kept = checkpoint.read(run.folder / OUT_OF_FOLD).part("said")
    learnt = rival.usable(sets.train)
    place = {name: row for row, name in enumerate(sets.train.ids)}
    chosen = torch.tensor([place[name] for name in learnt.ids])
    said: Tensor = kept["logits"][:, chosen].softmax(2)
    labels, vote = learnt.labels.numpy(), said.mean(0).argmax(1).numpy()
    yield from measured("soft_vote_", "out-of-fold", vote, labels, sets.classes)
    for number, one in enumerate(said):
        yield from measured(f"member_{number:02d}_", "out-of-fold", one.argmax(1).numpy(), labels, sets.classes)
    if heard:
        theirs = rival.over_folds(learnt, kept["folds"][chosen], len(sets.classes))
        yield from rival.compared("out-of-fold", vote, theirs, labels, sets.classes)


def _calibration(split: str, asked: Answers, temperature: float) -> Iterator[Metric]:
    """ECE and soft cross-entropy before and after the temperature."""
    agreed = asked.rows.consensus.numpy()
    labels, targets = asked.rows.labels.numpy()[agreed], asked.rows.targets.numpy()[agreed]
    for name, logits in (("", asked.logits[agreed] / temperature), ("uncalibrated_", asked.logits[agreed])):
        log_p = log_softmax(logits)
        error = calibration_error(np.exp(log_p), labels)
        yield Metric(name=f"{name}ece", split=split, value=error, n=len(labels))
        yield Metric(name=f"{name}nll", split=split, value=-float((targets * log_p).sum(1).mean()), n=len(labels))


def _concordances(split: str, said: np.ndarray, truth: np.ndarray) -> Iterator[Metric]:
    values = []
    for number, name in enumerate(ATTRIBUTES):
        judged = ~np.isnan(truth[:, number])
        if judged.any():
            values.append(concordance(said[judged, number], truth[judged, number]))
            yield Metric(name=f"ccc_{name}", split=split, value=values[-1], n=int(judged.sum()))
    if values:
        yield Metric(name="ccc", split=split, value=float(np.mean(values)), n=int((~np.isnan(truth)).any(1).sum()))

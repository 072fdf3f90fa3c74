"""The corpora that a configuration can name, as rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from common.errors import OperatorError
from contracts.speech import FRAMES, FUNCTIONALS
from speech.medusa import corpora
from speech.medusa.config import Config, Data
from speech.medusa.corpora.corpus import SPLITS, Corpus, Split, Utterance
from speech.medusa.corpora.speeds import at_speeds
from speech.medusa.encoders.base import Encoder
from speech.medusa.encoders.frames import Frames
from speech.medusa.encoders.functionals import Functionals
from speech.medusa.encoders.loading import Place
from speech.medusa.encoders.pretrained import open_encoder
from speech.medusa.rows import Clips, Rows, Sets
from speech.medusa.store import FeatureStore, Stored
from speech.medusa.synthetic import synthetic_sets
from speech.medusa.synthetic_speech import espeak

FEATURES, SPOKEN = "features", "espeak"
"""Folders beside all runs: what encoders made, once, and what the speech program said."""


def load(config: Config, data: Path | None, beside: Path) -> Sets:
    """All three splits with what the corpus itself gives: ``frames``, transcripts, and every pretrained stream.

    ``speech.medusa.streams`` makes the other streams of them. Features are kept in ``beside``, the folder of all runs:
    whoever trains again there asks no encoder. Rows that cannot be used are left out and told in ``bad``.

    Raises OperatorError for missing or broken files, and for an encoder that cannot be read.
    """
    sets = synthetic_sets(config) if config.data.name == "synthetic" else _sets(config, data, beside)
    for split in SPLITS:
        if not bool(getattr(sets, split).consensus.any()):
            raise OperatorError(
                f"{config.data.name}: no clip with a consensus is in the split {split}; name its speakers"
            )
    if config.data.targets == "one_hot":
        sets = sets._replace(train=replace(sets.train, targets=one_hot(sets.train.targets)))
    return sets


def one_hot(targets: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
    """All mass on the class with the most votes, the first of several."""
    return torch.nn.functional.one_hot(targets.argmax(1), targets.shape[1]).to(targets.dtype)


def encoders(config: Config) -> dict[str, Encoder]:
    """What the feature store must hold: ``frames`` and ``functionals``, if some stream is made of them, and the
    pretrained streams.

    Raises OperatorError for an encoder that cannot be read.
    """
    used = config.used_streams()
    found: dict[str, Encoder] = {}
    sources = {stream.source for stream in used.values()}
    if sources - {"pretrained", "text", "functionals"}:
        found[FRAMES] = Frames()
    if "functionals" in sources:
        found[FUNCTIONALS] = Functionals()
    for name, stream in used.items():
        if stream.source == "pretrained" and stream.encoder is not None:
            found[name] = open_encoder(Place(stream.encoder, stream.revision), config.device)
    return found


def _sets(config: Config, data: Path | None, beside: Path) -> Sets:
    name = config.data.name
    corpus = espeak(beside / SPOKEN) if name == "espeak" else corpora.load(name, data)
    corpus = at_speeds(resplit(corpus, config.data), config.data.speeds)
    # Frames at full precision, as the server hears them; layer sums at half.
    features: dict[str, Stored] = {}
    wanted = encoders(config)
    for key, encoder in wanted.items():
        left, found = FeatureStore(beside / FEATURES, half=key not in (FRAMES, FUNCTIONALS)).streams(
            corpus, {key: encoder}
        )
        features = _kept(features, corpus, left) | {key: found[key]}
        corpus = left
    train, dev, test = (_rows(corpus, features, split) for split in SPLITS)
    return Sets(
        train=train,
        dev=dev,
        test=test,
        classes=corpus.classes,
        judged=corpus.judged,
        source=corpus.source,
        soft=corpus.soft,
        bad=corpus.bad,
        use=corpus.use,
        keys={key: encoder.key for key, encoder in wanted.items()},
    )


def resplit(corpus: Corpus, data: Data) -> Corpus:
    """The corpus with the splits that ``data`` names by speaker, if it does.

    Raises OperatorError for a speaker that is not there.
    """
    if not data.test_speakers:
        return corpus
    named: dict[str, Split] = {
        **dict.fromkeys(data.dev_speakers, "dev"),
        **dict.fromkeys(data.test_speakers, "test"),
    }
    heard = {utterance.speaker for utterance in corpus.utterances}
    if unknown := sorted(named.keys() - heard):
        raise OperatorError(
            f"{corpus.name}: nobody is called {', '.join(unknown)}; its speakers are {', '.join(sorted(heard))}"
        )
    return corpus._replace(utterances=tuple(u._replace(split=named.get(u.speaker, "train")) for u in corpus.utterances))


def _kept(features: Mapping[str, Stored], before: Corpus, after: Corpus) -> dict[str, Stored]:
    """The features of those utterances that another encoder did not drop."""
    if len(before.utterances) == len(after.utterances):
        return dict(features)
    left = {utterance.id for utterance in after.utterances}
    numbers = [n for n, utterance in enumerate(before.utterances) if utterance.id in left]
    return {name: Stored([clips.paths[n] for n in numbers]) for name, clips in features.items()}


def _rows(corpus: Corpus, features: Mapping[str, Stored], split: Split) -> Rows:
    numbers = [n for n, utterance in enumerate(corpus.utterances) if utterance.split == split]
    chosen: list[Utterance] = [corpus.utterances[n] for n in numbers]
    shape = (len(chosen), len(corpus.classes))
    return Rows(
        ids=tuple(u.id for u in chosen),
        speakers=tuple(u.speaker for u in chosen),
        texts=tuple(u.text or "" for u in chosen),
        streams=dict(_streams(features, numbers)),
        targets=torch.from_numpy(np.array([u.target for u in chosen], np.float32).reshape(shape)),
        attributes=torch.from_numpy(np.array([u.attributes for u in chosen], np.float32).reshape(-1, 3)),
        consensus=torch.tensor([u.consensus for u in chosen], dtype=torch.bool),
    )


def _streams(features: Mapping[str, Stored], numbers: list[int]) -> Iterator[tuple[str, Sequence[Tensor]]]:
    """What in-project streams are made of in memory; pretrained streams stay on the disk."""
    for name, clips in features.items():
        if name in (FRAMES, FUNCTIONALS):
            yield name, [torch.from_numpy(clips[n]) for n in numbers]
        else:
            yield name, Clips(clips, numbers, torch.from_numpy)

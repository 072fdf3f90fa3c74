"""One phase: hidden frames, or hidden tokens, found again; selected on the development split."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from common.errors import Invalid, OperatorError
from common.registry.cards import write_whole
from common.text.features import TOKENIZER, read_tokenizer, tokens
from common.text.tokenizer import learn_tokenizer
from common.training.distributed import World, shared_run, world
from common.training.run import Run, open_run
from speech.medusa import corpora
from speech.medusa.corpora.corpus import Corpus, Utterance
from speech.medusa.corpora.unlabelled import unlabelled
from speech.medusa.encoders.frames import Frames
from speech.medusa.encoders.pretrain import Clips, learn_acoustic, learn_text
from speech.medusa.store import FeatureStore
from speech.medusa_encoder.config import Config, Data
from speech.medusa_encoder.system import SYSTEM

LONGEST = 512
"""Tokens of one transcript."""
FEATURES = "features"
"""Folder beside all runs: frames are computed once."""


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Pre-train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data, a folder that is no run, and a set too small for what is asked.
    """
    if resume is not None and open_run(resume, SYSTEM.name).manifest.status == "finished":
        return resume
    with world(config.device) as here:
        sets = load(config, data)
        sources = tuple(corpus.source for corpus in sets)
        run = shared_run(
            here, resume, out, system=SYSTEM.name, command=command, config=config, seed=config.seed, data=sources
        )
        if here.leads:
            run.update(properties=properties(sets))
        if config.kind == "acoustic":
            clips = heard(sets, FeatureStore(run.folder.parent.parent / FEATURES, half=False))
            learn_acoustic(config.acoustic, config.clusters, config.masked, clips, run, here, config.seed)
        else:
            tokenizer = _tokenizer(run, config, sets[0], here)
            clips = Clips(*(texts(sets[0].split(split), tokenizer) for split in ("train", "dev")))
            vocabulary = tokenizer.get_vocab_size()
            learn_text(config.text, vocabulary, config.masked, clips, run, here, config.seed)
    return run.folder


def properties(sets: Sequence[Corpus]) -> dict[str, float | int | str | bool]:
    """What whoever reads the encoder must know: what its data allow, and whom it has heard of the first set."""
    heard = {utterance.speaker for split in ("train", "dev") for utterance in sets[0].split(split)}
    research = any(corpus.use == "research" for corpus in sets)
    return {"use": "research" if research else "open", "speakers": " ".join(sorted(heard))}


def load(config: Config, data: Path | None) -> list[Corpus]:
    """The corpus, and the speech without labels beside it. Raises OperatorError for missing files."""
    sets = [_wanted(corpora.load(config.data.name, data), config.data)]
    if config.kind == "acoustic":
        sets += [_fewer(unlabelled(name, data), config.data) for name in config.data.more]
    return sets


def heard(sets: Sequence[Corpus], store: FeatureStore) -> Clips:
    """Frames of the training split of all sets, and of the first one's development split."""
    learnt: list[np.ndarray] = []
    held: list[np.ndarray] = []
    for number, corpus in enumerate(sets):
        streams = store.streams(corpus, {"frames": Frames()})
        for utterance, frames in zip(streams.corpus.utterances, streams.features["frames"], strict=True):
            if utterance.split == "train":
                learnt.append(frames)
            elif utterance.split == "dev" and number == 0:
                held.append(frames)
    return Clips(learnt, held)


def texts(utterances: Sequence[Utterance], tokenizer: Tokenizer) -> list[np.ndarray]:
    """Tokens, int64 (n,), of every transcript that has one; each transcript once."""
    found: list[np.ndarray] = []
    for text in sorted({utterance.text or "" for utterance in utterances}):
        try:
            found.append(np.array(tokens(tokenizer, text, LONGEST)))
        except Invalid:
            continue  # nothing was said
    if not found:
        raise OperatorError("no clip has a transcript to learn from; put transcripts beside the recordings")
    return found


def _wanted(corpus: Corpus, data: Data) -> Corpus:
    """Without the speakers that are kept for figures, and of the rest the first clips of each split.

    Raises OperatorError for a speaker who is not there, and where nothing to learn from, or to stop by, is left.
    """
    speakers = {u.speaker for u in corpus.utterances}
    if unknown := sorted(set(data.without) - speakers):
        raise OperatorError(f"{corpus.name}: nobody is called {', '.join(unknown)}; there are {', '.join(speakers)}")
    left = corpus._replace(utterances=tuple(u for u in corpus.utterances if u.speaker not in data.without))
    for split in ("train", "dev"):
        if not left.split(split):
            raise OperatorError(f"{corpus.name}: nobody is left in its split {split}; leave fewer speakers out")
    return _fewer(left, data)


def _fewer(corpus: Corpus, data: Data) -> Corpus:
    kept = [u for split in corpora.SPLITS for u in islice(corpus.split(split), data.clips)]
    return corpus._replace(utterances=tuple(kept))


def _tokenizer(run: Run, config: Config, corpus: Corpus, here: World) -> Tokenizer:
    """The run's own, learnt once."""
    path = run.folder / TOKENIZER
    if here.leads and not path.exists():
        said = (utterance.text or "" for utterance in corpus.split("train"))
        write_whole(path, learn_tokenizer(said, config.vocabulary).to_str().encode())
    here.share_number(0.0)  # nobody reads before the file is there
    return read_tokenizer(path)

"""Features of songs without sound: CAL500 (Turnbull et al. 2008) and emotions (Trohidis et al. 2008)."""

from pathlib import Path

import numpy as np

from music_fewshot.lc_protonets.corpora.arrays import read_split
from music_fewshot.lc_protonets.corpora.corpus import Corpus, Source, Split, arrange, broken

LICENCE = "none stated; standard benchmark of multi-label learning"


def cal500(data: Path) -> Corpus:
    """68 features of 482 songs, 174 tags of mood, genre, instrument and use. Raises OperatorError."""
    return _tabular(data, "cal500")


def emotions(data: Path) -> Corpus:
    """72 features of 553 songs, six moods. Raises OperatorError."""
    return _tabular(data, "emotions")


def _tabular(data: Path, name: str) -> Corpus:
    """Both have a training and a test part only: the development part is empty."""
    train_file, test_file = (data / "music_multilabel_tabular" / f"{name}_{part}.npz" for part in ("train", "test"))
    train, tags, digest = read_split(train_file, "features", 2, "float32")
    test, others, test_digest = read_split(test_file, "features", 2, "float32")
    if others != tags or test.inputs.shape[1:] != train.inputs.shape[1:]:
        raise broken(test_file, "its labels or features are not those of the training part")
    none = Split((), np.zeros((0, len(tags)), bool), np.zeros((0, *train.inputs.shape[1:]), np.float32))
    splits = {"train": train, "dev": none, "test": test}
    return arrange(Source(name, LICENCE, "research", "features", tags, 0, (digest, test_digest), splits))

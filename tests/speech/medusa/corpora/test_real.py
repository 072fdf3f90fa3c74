"""The sets as they lie in the data folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.audio import decode
from speech.medusa import corpora
from speech.medusa.corpora.corpus import Corpus

DATA = Path(os.environ.get("KITHARA_DATA", "nowhere"))
SIZES = {
    "emodb": {"train": (339, 7), "dev": (69, 1), "test": (108, 2)},
    "ravdess": {"train": (1_020, 17), "dev": (120, 2), "test": (246, 5)},
    "nemo": {"train": (1_457, 6), "dev": (276, 1), "test": (457, 2)},
}
"""Clips and speakers, as each set's own description counts them."""


def loaded(name: str) -> Corpus:
    if not (DATA / name).is_dir():
        pytest.skip(f"set KITHARA_DATA to a folder with {name}")
    return corpora.load(name, DATA)


@pytest.mark.parametrize("name", SIZES)
def test_every_row_of_an_acted_set_is_read(name: str) -> None:
    corpus = loaded(name)
    counted = {s: (len(u := corpus.split(s)), len({one.speaker for one in u})) for s in corpora.SPLITS}
    assert counted == SIZES[name]
    assert corpus.bad == ()
    targets = np.stack([u.target for u in corpus.utterances])
    assert targets.sum(1) == pytest.approx(1.0)
    assert set(targets.argmax(1)) == set(range(len(corpus.classes)))
    first = decode(corpus.utterances[0].audio())
    assert first.sample_rate == 16_000
    assert len(first.samples) in range(8_000, 160_000)


def test_real_votes_are_shares_and_many_are_undecided() -> None:
    corpus = loaded("crema_d_votes")
    targets = np.stack([u.target for u in corpus.utterances])
    assert targets.sum(1) == pytest.approx(1.0)
    assert len(corpus.utterances) == 7_045
    assert corpus.bad == ()
    ranked = np.sort(targets, axis=1)
    assert np.array_equal([u.consensus for u in corpus.utterances], ranked[:, -1] > ranked[:, -2])

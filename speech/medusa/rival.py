"""The baseline beside the ensemble: fitted to the same clips, asked about the same clips of the same speakers."""

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from common.claims.bootstrap import item_weights, paired_rounds, percentile
from common.claims.similarity import MEASURES
from contracts.models import Metric
from contracts.speech import FRAMES, FUNCTIONALS
from speech.medusa import baseline
from speech.medusa.corpora.speeds import is_copy
from speech.medusa.figures import ROUNDS, macro_f1, measured, one_hot
from speech.medusa.rows import Rows

PREFIX, AHEAD = "baseline_", "over_baseline_macro_f1"


def vectors(rows: Rows) -> np.ndarray:
    """Functionals of every clip, float32 (n, D): as the corpus holds them, or of its frames."""
    if FUNCTIONALS in rows.streams:
        return np.concatenate([clip.numpy() for clip in rows.streams[FUNCTIONALS]])
    return baseline.vectors([clip.numpy() for clip in rows.streams[FRAMES]])


def usable(rows: Rows) -> Rows:
    """The clips with a label, each once: what other speeds add is the ensemble's method, not the baseline's."""
    first = rows.consensus.new_tensor([not is_copy(name) for name in rows.ids])
    return rows.select(rows.consensus & first)


def asked(learnt: Rows, test: Rows, classes: int) -> np.ndarray:
    """int64 (n,): the answers for ``test`` of a regression fitted, its strength included, to ``learnt``."""
    fitted = baseline.fit(vectors(learnt), learnt.labels.numpy(), learnt.speakers, classes)
    return fitted.probabilities(vectors(test)).argmax(1)


def over_folds(rows: Rows, folds: Tensor, classes: int) -> np.ndarray:
    """As ``asked`` for each fold of speakers, int64 (n,), by a regression fitted to the others."""
    said = np.zeros(len(rows), np.int64)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        said[held.numpy()] = asked(rows.select(~held), rows.select(held), classes)
    return said


def compared(
    split: str, ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]
) -> Iterator[Metric]:
    """The baseline's figures, and by how much the ensemble's macro-F1 is above, paired clip by clip."""
    yield from measured(PREFIX, split, theirs, labels, classes)
    count = len(classes)
    drawn = paired_rounds(
        [one_hot(ours, count), one_hot(theirs, count)], [one_hot(labels, count)], item_weights(len(labels), ROUNDS)
    )[:, :, 0, MEASURES.index("macro_f1")]
    ahead = macro_f1(ours, labels, count) - macro_f1(theirs, labels, count)
    yield Metric(name=AHEAD, split=split, value=ahead, n=len(labels), interval=percentile(drawn[:, 0] - drawn[:, 1]))

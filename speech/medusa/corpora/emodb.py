"""EmoDB: ten German actors, seven emotions, and how many of 20 listeners heard the intended one."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from speech.medusa.corpora.corpus import Corpus, one_hot
from speech.medusa.corpora.tarred import Layout, tarred

CLASSES = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
LICENCE = "CC0-1.0, as the set's publishers declare it"
RECOGNISED = "recognised_pct"


def emodb(folder: Path, soft: bool = True) -> Corpus:
    """Raises OperatorError as ``tarred`` does."""
    layout = Layout("emodb", LICENCE, "open", CLASSES, soft, (RECOGNISED,) if soft else ())
    return tarred(folder, layout, partial(_target, soft=soft))


def _target(columns: Mapping[str, str], *, soft: bool) -> np.ndarray:
    label = one_hot(columns["emotion"], CLASSES)
    return recognised(label, columns[RECOGNISED]) if soft else label


def recognised(label: np.ndarray, percent: str) -> np.ndarray:
    """The listeners who heard the intended class, and the rest evenly over the other classes.

    Which other class they heard is not published: an even spread claims least. ``label`` is one-hot, float32
    (classes,). Raises ValueError for what is no percentage.
    """
    try:
        share = float(percent) / 100
    except ValueError:
        share = np.nan
    if not 0 <= share <= 1:
        raise ValueError(f"{RECOGNISED} is {percent!r}, not a number from 0 to 100")
    rest = (1 - share) / (len(label) - 1)
    return np.where(label == 1, share, rest).astype(np.float32)

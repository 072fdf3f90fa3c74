"""RAVDESS, its speech: 24 English actors, eight emotions, no listener's vote. Not for anything that is shipped."""

from pathlib import Path

from speech.medusa.corpora.corpus import Corpus, one_hot
from speech.medusa.corpora.tarred import Layout, tarred

CLASSES = ("anger", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
LICENCE = "CC-BY-NC-SA-4.0"


def ravdess(folder: Path, soft: bool = True) -> Corpus:
    """One-hot targets, whatever ``soft`` asks for. Raises OperatorError as ``tarred`` does."""
    layout = Layout("ravdess", LICENCE, "research", CLASSES, soft=False)
    return tarred(folder, layout, lambda columns: one_hot(columns["emotion"], CLASSES))

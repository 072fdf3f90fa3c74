"""nEMO: nine Polish actors, six emotions, no listener's vote. Not for anything that is shipped."""

from pathlib import Path

from speech.medusa.corpora.corpus import Corpus, one_hot
from speech.medusa.corpora.tarred import Layout, tarred

CLASSES = ("anger", "fear", "happiness", "neutral", "sadness", "surprise")
LICENCE = "CC-BY-NC-SA-4.0"


def nemo(folder: Path, soft: bool = True) -> Corpus:
    """One-hot targets, whatever ``soft`` asks for. Raises OperatorError as ``tarred`` does."""
    layout = Layout("nemo", LICENCE, "research", CLASSES, soft=False)
    return tarred(folder, layout, lambda columns: one_hot(columns["emotion"], CLASSES))

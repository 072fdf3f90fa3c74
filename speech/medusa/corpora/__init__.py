"""Judged speech for training and evaluation: acted sets with one label a clip, and sets with listeners' votes."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from common.errors import OperatorError
from speech.medusa.corpora.corpus import NOBODY, SPLITS, Corpus, Split, Utterance
from speech.medusa.corpora.crema_d import crema_d_votes
from speech.medusa.corpora.emodb import emodb
from speech.medusa.corpora.msp_podcast import msp_podcast
from speech.medusa.corpora.nemo import nemo
from speech.medusa.corpora.ravdess import ravdess

__all__ = ["NAMES", "NOBODY", "SPLITS", "Corpus", "Split", "Utterance", "load"]

_READERS: MappingProxyType[str, Callable[[Path, bool], Corpus]] = MappingProxyType(
    {
        "emodb": emodb,
        "ravdess": ravdess,
        "nemo": nemo,
        "msp_podcast": msp_podcast,
        "crema_d_votes": crema_d_votes,
    }
)
NAMES = tuple(_READERS)


def load(name: str, data: Path | None, *, soft: bool = True) -> Corpus:
    """The corpus of one of ``NAMES``, in the folder ``data / name``.

    ``soft``: take the listeners' judgements as targets where the corpus has them; ``Corpus.soft`` tells whether it has.

    Raises OperatorError for another name, without a folder, where a file is missing or is not what it should be, where
    no row can be used, and where a speaker is heard in two splits.
    """
    if name not in _READERS:
        raise OperatorError(f"no corpus {name}; there are {', '.join(NAMES)}")
    if data is None:
        raise OperatorError(f"{name} is not bundled: give the folder that holds {name}/ with --data or KITHARA_DATA")
    return _READERS[name](data, soft)

"""Labelled music for training and evaluation: rendered scores, three public sets, and a set made on the spot."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

from common.errors import OperatorError
from music_fewshot.lc_protonets.corpora.corpus import SPLITS, Corpus, Kind, Split
from music_fewshot.lc_protonets.corpora.emotify import emotify
from music_fewshot.lc_protonets.corpora.generated import generated
from music_fewshot.lc_protonets.corpora.makam import makam_pitch
from music_fewshot.lc_protonets.corpora.rendered import rendered
from music_fewshot.lc_protonets.corpora.tabular import cal500, emotions

__all__ = ["NAMES", "SPLITS", "Corpus", "Kind", "Split", "load"]

_READERS: MappingProxyType[str, Callable[[Path], Corpus]] = MappingProxyType(
    {
        "rendered": rendered,
        "emotify": emotify,
        "makam_pitch": makam_pitch,
        "cal500": cal500,
        "emotions": emotions,
    }
)
NAMES = (*_READERS, "generated")


def load(name: str, data: Path | None) -> Corpus:
    """The corpus of one of ``NAMES``; all but ``generated`` lie in the folder ``data``.

    Raises OperatorError for another name, without a folder, and where a file is missing or is not what it should be.
    """
    if name == "generated":
        return generated()
    if name not in _READERS:
        raise OperatorError(f"no corpus {name}; there are {', '.join(NAMES)}")
    if data is None:
        raise OperatorError(f"{name} is not bundled: give its folder with --data or KITHARA_DATA, or use generated")
    return _READERS[name](data)

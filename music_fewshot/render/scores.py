"""Which tunes of the music21 corpus are used, and what is known of their licences.

music21's own notice: it assumes no copyright in the corpus, distributes it with the permission of the encoders, and
asks the reader to see the notes inside each folder and file. What those say is summed up here, source by source.
"""

import importlib.util
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from common.errors import OperatorError


class Source(NamedTuple):
    licence: str
    """Short, for every row of a table."""
    use: Literal["open", "research"]
    """"research": not for commercial use."""
    note: str
    """What is known, and from where."""
    files: str = ""
    """Pattern inside music21's corpus folder; empty for what is made here."""
    origin: str = ""
    """What a tune's ``O:`` line must begin with."""


ESSEN = Source(
    "non-commercial (Essen)",
    "research",
    "Essen folk song collection (H. Schaffrath, E. Dahlig-Turek; ABC by S. Schlien). The folder's licence file calls "
    "the legal status unclear and tells of a permission for non-commercial distribution and use. NON-COMMERCIAL.",
)
KEPT = "The encoders' files state no restriction; music21 distributes them with their permission."

SOURCES = {
    "chinese": ESSEN._replace(files="essenFolksong/han*.abc", origin="China"),
    "german": ESSEN._replace(files="essenFolksong/erk*.abc", origin="Europa, Mitteleuropa, Deutschland"),
    "lorraine": ESSEN._replace(files="essenFolksong/lot.abc", origin="Lothringen"),
    "irish": Source(
        "public domain (O'Neill 1903)",
        "open",
        f"F. O'Neill, Music of Ireland, Chicago 1903: the music is in the public domain. {KEPT}",
        "oneills1850/*.abc",
    ),
    "american": Source(
        "public domain (Ryan 1883)",
        "open",
        f"Ryan's Mammoth Collection, Boston 1883: the music is in the public domain. {KEPT}",
        "ryansMammoth/*.abc",
    ),
    "scottish": Source(
        "public domain (Aird 1778-1801)",
        "open",
        f"J. Aird, A Selection of Scotch, English, Irish and Foreign Airs, Glasgow: public domain. {KEPT}",
        "airdsAirs/*.abc",
    ),
    "made": Source(
        "Apache-2.0 (made by kithara)",
        "open",
        "Tunes that music_fewshot/render/made.py draws from a seed; they quote nobody.",
    ),
}
"""Left out: Bach's chorales and the other scores with parts (their encodings tell no terms), the American fife tunes
(their encoder does not know where they come from), the Nottingham tunes (no note at all) and the Northumbrian ones (too
few are of use)."""


MUSIC21 = "music21 is not installed; pip install 'kithara[render]'"


class Score(NamedTuple):
    """One tune as its file writes it."""

    id: str
    source: str
    abc: str
    """From its ``X:`` line to the next."""

    @property
    def titles(self) -> frozenset[str]:
        """Letters only, without articles: "The Lads" and "Lads, The" are one."""
        lines = re.findall(r"(?m)^T: *(.*)$", self.abc)
        words = (re.findall(r"[a-z]+", line.lower()) for line in lines)
        return frozenset(" ".join(sorted(set(w) - {"the", "a", "an"})) for w in words) - {""}


def corpus_folder() -> Path:
    """Where music21 keeps its scores; music21 itself is not imported. Raises OperatorError."""
    spec = importlib.util.find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise OperatorError(MUSIC21)
    folder = Path(spec.submodule_search_locations[0]) / "corpus"
    if not folder.is_dir():
        raise OperatorError(
            f"this music21 was installed without its corpus; {MUSIC21.split('; ')[1]} --force-reinstall"
        )
    return folder


def shuffled(source: str, seed: int) -> Iterator[Score]:
    """Every tune of a source, in the order of ``seed``. Raises OperatorError."""
    scores = list(_scores(source))
    random.Random(f"{seed} {source}").shuffle(scores)
    yield from scores


def _scores(source: str) -> Iterator[Score]:
    folder, one = corpus_folder(), SOURCES[source]
    for path in sorted(folder.glob(one.files)):
        name = path.relative_to(folder).as_posix()
        # Some files are Latin-1; only their titles suffer.
        chunks = re.split(r"(?m)^(?=X:)", path.read_text(encoding="utf-8", errors="replace"))[1:]
        for place, abc in enumerate(chunks, 1):
            origin = re.search(r"(?m)^O: *(.*)$", abc)
            if not one.origin or (origin and origin[1].startswith(one.origin)):
                yield Score(f"{name}#{place}", source, abc)

"""``kithara data check``: are the data sets the files that their ``SOURCE.md`` describes?

A data set is a folder with a ``SOURCE.md`` whose table has a column ``file`` first and ``sha256`` last.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from rich.table import Table
from tyro import conf

from common.errors import OperatorError
from contracts._base import Record
from deploy.commands.base import DATA, Answer, Reporting, data_root, existing
from deploy.commands.tables import table

SOURCE = "SOURCE.md"
ROW = re.compile(r"^\| *(?P<file>[^|]+?) *\|.*\| *(?P<sha256>[0-9a-f]{64}) *\| *$", re.MULTILINE)


class CheckedSet(Record, frozen=True, kw_only=True):
    """One data set."""

    name: str
    files: int
    ok: bool
    wrong: tuple[str, ...] = ()
    """One sentence for each file that is missing or differs."""


class CheckedData(Record, frozen=True, kw_only=True):
    """The answer of ``kithara data check --json``."""

    folder: str
    sets: tuple[CheckedSet, ...]


@dataclass(frozen=True, kw_only=True)
class Check(Reporting):
    """Compare every file of the data sets with the digest in its SOURCE.md."""

    data: Annotated[Path | None, conf.arg(metavar="DIR")] = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""

    def answer(self) -> Answer:
        folder = existing(self.data, DATA)
        if folder is None:
            raise OperatorError("name the folder with the data sets: --data DIR, or KITHARA_DATA in the environment")
        sets = tuple(_check(source) for source in sorted(folder.glob(f"*/{SOURCE}")))
        if not sets:
            raise OperatorError(f"{folder}: no data set in it (a folder with a {SOURCE}); give the folder above them")
        wrong = [sentence for one in sets for sentence in one.wrong]
        failure = f"{len(wrong)} wrong, first {wrong[0]}; bring the data set again" if wrong else None
        return Answer(CheckedData(folder=str(folder), sets=sets), _table(folder, sets), failure)


def _check(source: Path) -> CheckedSet:
    listed = {row["file"].strip("`"): row["sha256"] for row in ROW.finditer(source.read_text())}
    wrong = tuple(_wrong(source.parent, listed)) or (() if listed else (f"{source}: lists no file with its sha256",))
    return CheckedSet(name=source.parent.name, files=len(listed), ok=not wrong, wrong=wrong)


def _wrong(folder: Path, listed: dict[str, str]) -> Iterator[str]:
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: missing"
        elif _sha256(path) != digest:
            yield f"{path}: not the file that {SOURCE} describes"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(folder: Path, sets: tuple[CheckedSet, ...]) -> Table:
    shown = table(str(folder), "data set", "files", "ok", "wrong")
    for one in sets:
        shown.add_row(one.name, str(one.files), "yes" if one.ok else "NO", "\n".join(one.wrong))
    return shown

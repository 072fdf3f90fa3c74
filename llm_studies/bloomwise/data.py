"""Word problems as typed records: the public sets under ``--data``, checked against what they are said to be."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, TypeVar

from msgspec import Meta

from common.data.files import File
from common.errors import OperatorError
from contracts._base import Record

T = TypeVar("T", bound=Record)
FOLDER = "math_word_problems"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
"""Of the recorded solutions, in the order of the replayed ladder."""


class Problem(Record, frozen=True, kw_only=True):
    """One problem and its gold answer."""

    id: str
    dataset: str
    split: str
    question: Annotated[str, Meta(min_length=1)]
    gold: Annotated[str, Meta(min_length=1)]
    """Canonical decimal text, or one letter."""
    gold_kind: Literal["number", "option"]
    options: dict[str, str] | None = None
    """By letter, in order."""
    solution: str | None = None
    """Reference reasoning, where the set is used for demonstrations."""


class Programme(Record, frozen=True, kw_only=True):
    """The reference programme of a GSM-hard problem: a function ``solution()``."""

    id: str
    code: str


class Recorded(Record, frozen=True, kw_only=True):
    """What four models wrote for a GSM8K problem, and whether it was counted right."""

    id: str
    question: str
    gold: str
    replies: dict[str, str]
    recorded_correct: dict[str, bool]


class Known(NamedTuple):
    """What a file must be."""

    rows: int
    sha256: str


SETS = MappingProxyType(
    {
        "addsub": Known(395, "e3c48261704f84924bda304f759324fb951ee1ad1ca7769fd3450fbf629302b6"),
        "algebra222": Known(222, "5d2cc02a8207dd260ca6e9497285fdccc2d870540fcfd8a31edf1d1860a50a43"),
        "aqua_dev": Known(254, "c2b378de05717aef6fac405ce09a428819f96217b92a9457d14edf6aca6de4f0"),
        "aqua_test": Known(254, "fcf55490cd20e632606692b2a364899b552e3177556030cee8fb382d40893802"),
        "asdiv": Known(1_694, "dd0e199a2b521a23e818bfe81e017ab95a87816813bb21332f1208927fe27401"),
        "gsm8k_test": Known(1_055, "64e6114346247eed3d90ab62cd30aa2df667e086e39a9d7999f660070838ff64"),
        "gsm8k_train": Known(2_000, "656b6ea7208236ea87066b74acd31c83c0b6cbd3119c38b9b7908c0b82c4727c"),
        "gsm_hard": Known(1_319, "73a4e8480dfbbcccd6185e05be011eb44d71bfb6c93e2bccb3102697e478077f"),
        "multiarith": Known(600, "68eb3e071a62bf282554904f6cc9833cd669d67e60f8ad61e09f680a6076fca4"),
        "singleeq": Known(508, "acd07707444ccdc3d978f645e4c561ddfe7090930a46cba7095a52857cd9c537"),
        "svamp": Known(810, "9b56b602710da6b8900f179a8d9e09c6244d5c2ca9698d222ff90a0510de815d"),
    }
)
"""Problems by set; a fifth of gsm8k_test, svamp and asdiv is held back for later evaluation."""
PROGRAMMES = Known(1_319, "897f07b404c670c3d9d23a57e01e48fc557362498c61de5df16a94cce43b7ed7")
RECORDED = Known(1_319, "7367e3d689a3152581b1b77d98918691952bc776d85344462f37a6461fa51e10")


def load(name: str, data: Path | None) -> tuple[Problem, ...]:
    """The problems of a public set. Raises OperatorError when the folder or file is not what it should be."""
    return read(File(data, f"{FOLDER}/{name}.jsonl"), SETS[name], Problem)


def programmes(data: Path | None) -> tuple[Programme, ...]:
    return read(File(data, f"{FOLDER}/gsm_hard_programs.jsonl"), PROGRAMMES, Programme)


def recorded(data: Path | None) -> tuple[Recorded, ...]:
    return read(File(data, f"{FOLDER}/recorded_gsm8k/replies.jsonl"), RECORDED, Recorded)


def read(file: File, known: Known, kind: type[T]) -> tuple[T, ...]:
    """The rows of a JSON-lines file.

    Raises OperatorError for a row that is none, another count, an id that stands there twice, or other bytes than the
    known ones: whichever is found first in this order.
    """
    rows = file.rows(kind)
    if len(rows) != known.rows:
        raise OperatorError(f"{file.path}: {len(rows)} rows instead of {known.rows}; bring the data set again")
    _unique([getattr(row, "id") for row in rows], file.path)  # noqa: B009
    if file.sha256 != known.sha256:
        raise OperatorError(f"{file.path}: not the file that SOURCE.md describes; bring the data set again")
    return tuple(rows)


def _unique(ids: Sequence[str], file: Path) -> None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise OperatorError(f"{file}: {one} stands there twice; bring the data set again")
        seen.add(one)

"""The problems that the solver knows: those of a study, and files of JSON lines."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from common.errors import OperatorError
from llm_studies.bloomwise.config import Config
from llm_studies.bloomwise.study import chosen
from llm_studies.simulate.icl_prompt import one_line


class _Row(msgspec.Struct):
    question: str
    gold: str


def read(files: Sequence[Path]) -> dict[str, str]:
    """Gold (a number as text, or the letter of an option) by question, on one line.

    Raises OperatorError naming file and line.
    """
    return {key: gold for file in files for key, gold in _rows(file)}


def of_study(config: Config, data: Path | None) -> dict[str, str]:
    """The same for the problems of a BloomWise study. Raises OperatorError as its loaders do."""
    return {one_line(one.question): one.gold for items in config.data for one in chosen(items, data)}


def _rows(file: Path) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            row = msgspec.json.decode(line, type=_Row)
        except msgspec.MsgspecError as error:
            raise OperatorError(f"{file}, line {number}: no problem with question and gold ({error})") from None
        yield one_line(row.question), row.gold

"""What running, merging and reporting a study have in common."""

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from rich.console import Console, Group

from common.system import load
from contracts.llm import Prices
from contracts.studies import StudyReport
from deploy.commands.base import DATA, existing
from deploy.commands.tables import table

if TYPE_CHECKING:
    from llm_studies.llm.study import Study


def made(name: str, config: Any, data: Path | None) -> "Study":
    """The study of a system, its data read and checked."""
    return load(f"llm_studies.{name}.study:make")(config, existing(data, DATA))


def price_file(file: Path | None, config: Any) -> Prices | None:
    from llm_studies.llm import prices

    return None if file is None else prices.read(file, config.profile.model)


async def reported(
    study: "Study", folder: Path, config: Any, prices: Prices | None, note: str | None = None
) -> StudyReport:
    """Make the report, with a note before its other warnings, and write its files and the study's predictions."""
    from llm_studies.llm import predictions, render
    from llm_studies.llm.run import report

    found = await report(study, folder, config.profile, prices=prices)
    if note is not None:
        found = replace(found, warnings=(note, *found.warnings))
    await predictions.write(study, folder, config.profile)
    render.write(found, folder)
    return found


async def unfinished(study: "Study", folder: Path, config: Any, prices: Prices | None, why: str) -> StudyReport | None:
    """The report of the items that are complete, until the study's own takes its place; None where none is."""
    from llm_studies.llm.ask import Missing
    from llm_studies.llm.partial import parts

    for part in await parts(study, folder, config.profile):
        try:
            return await reported(part.study, folder, config, prices, part.note(why))
        except Missing:
            continue
    return None


def read(report: StudyReport, folder: Path) -> Any:
    """The first table of a report, as much of it as fits; its warnings; and where the rest is."""
    from llm_studies.llm import render

    one = report.tables[0]
    rows = [one.columns, *([render.cell(value) for value in row] for row in one.rows)]
    ends = accumulate(max(map(len, column)) + 2 for column in zip(*rows, strict=True))
    fitting = max(2, sum(end <= Console().width for end in ends))
    shown = table(one.title, *one.columns[:fitting])
    for row in rows[1:]:
        shown.add_row(*row[:fitting])
    return Group(shown, *(f"note: {warning}" for warning in report.warnings), str(folder / render.HTML))

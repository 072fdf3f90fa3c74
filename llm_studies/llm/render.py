"""A study's report as files: ``report.json`` for programs, ``report.md`` and ``report.html`` for people.

The page opens offline: its style and its figures are inside, there is no script and no link to elsewhere. The same
report gives the same bytes.
"""

import html
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template

from common.registry.cards import render as as_json
from common.registry.cards import write_whole
from contracts.studies import Cell, Figure, StudyReport, Table
from llm_studies.llm.figures import draw

JSON, MARKDOWN, HTML = "report.json", "report.md", "report.html"
PAGE = Path(__file__).parent / "static" / "report.html"
NUMBERS = (int, float)


def write(report: StudyReport, folder: Path) -> Path:
    """Write the three files into the run folder; the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / JSON, as_json(report))
    write_whole(folder / MARKDOWN, markdown(report).encode())
    write_whole(folder / HTML, page(report).encode())
    return folder / HTML


def cell(value: Cell) -> str:
    """A number with three decimals, whole ones with their thousands apart, None as a dash."""
    match value:
        case None:
            return "–"
        case float():
            return f"{value:,.3f}" if math.isfinite(value) else "–"
        case int():
            return f"{value:,}"
        case _:
            return value


def facts(report: StudyReport) -> Iterator[tuple[str, str]]:
    """What was asked of whom, and what it took."""
    yield "Model", report.model
    yield "Asked", report.scale
    yield "Replies", f"{report.calls:,}"
    yield "Tokens", f"{report.usage.prompt_tokens:,} in the prompts, {report.usage.completion_tokens:,} in the replies"
    if report.cost is not None:
        yield "Cost", f"{report.cost:,.2f} {report.currency}".rstrip()


def markdown(report: StudyReport) -> str:
    """Warnings, facts and tables; figures are on the page."""
    lines = [f"# {report.title}", ""]
    lines += [f"> **Note.** {_flat(warning)}\n" for warning in report.warnings]
    lines += [f"- {name}: {_flat(value)}" for name, value in facts(report)]
    for table in report.tables:
        lines += ["", f"## {table.title}", "", *_markdown_rows(table)]
        lines += ["", table.note] if table.note else []
    return "\n".join(lines) + "\n"


def _markdown_rows(table: Table) -> Iterator[str]:
    right = _numeric(table)
    yield _row(table.columns)
    yield _row("--:" if at_right else ":--" for at_right in right)
    yield from (_row(map(cell, row)) for row in table.rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_flat(text).replace('|', chr(92) + '|') for text in cells)} |"


def _flat(text: str) -> str:
    return " ".join(text.split())


def _numeric(table: Table) -> list[bool]:
    """Columns that hold numbers, or nothing, are set to the right."""
    return [
        any(isinstance(row[i], NUMBERS) for row in table.rows)
        and all(row[i] is None or isinstance(row[i], NUMBERS) for row in table.rows)
        for i in range(len(table.columns))
    ]


def page(report: StudyReport) -> str:
    """The report as one HTML document."""
    return Template(PAGE.read_text("utf-8")).substitute(
        title=html.escape(report.title),
        study=html.escape(report.study),
        warnings="".join(f'<p class="warning" role="note">{html.escape(text)}</p>\n' for text in report.warnings),
        facts="".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>\n" for name, value in facts(report)),
        contents=_contents("Figures", [(_anchor(one), one.title) for one in report.figures])
        + _contents("Tables", [(one.name, one.title) for one in report.tables]),
        figures="".join(_figure(one) for one in report.figures),
        tables="".join(map(_table, report.tables)),
    )


def _contents(head: str, items: list[tuple[str, str]]) -> str:
    links = "".join(f'<li><a href="#{anchor}">{html.escape(title)}</a></li>\n' for anchor, title in items)
    return f"<h3>{head}</h3>\n<ul>\n{links}</ul>\n" if items else ""


def _anchor(figure: Figure) -> str:
    return f"figure-{figure.name}"


def _figure(figure: Figure) -> str:
    caption = html.escape(figure.title)
    return f'<figure id="{_anchor(figure)}">\n<figcaption>{caption}</figcaption>\n{draw(figure)}</figure>\n'


def _table(table: Table) -> str:
    kinds = [' class="number"' if number else "" for number in _numeric(table)]
    head = "".join(f"<th{kind}>{html.escape(name)}</th>" for kind, name in zip(kinds, table.columns, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{k}>{html.escape(cell(v))}</td>' for k, v in zip(kinds, row, strict=True))}</tr>\n"
        for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>\n' if table.note else ""
    return (
        f'<section id="{table.name}">\n<h2>{html.escape(table.title)}</h2>\n<div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n{note}</section>\n"
    )

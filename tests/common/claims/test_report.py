import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest

from common.claims.report import FIGURE, MARK, RESULTS, Drawing, render, write
from common.errors import OperatorError
from contracts.claims import ClaimResult, ClaimRow, ClaimsReport, Verdict
from contracts.models import Interval


def result(effect: float, verdict: Verdict) -> ClaimResult:
    return ClaimResult(
        claim=f"a | b, {effect}",
        paper="section 3",
        data="toy",
        seeds=3,
        control="plain",
        unit="points",
        effect=effect,
        interval=Interval(low=effect - 1, high=effect + 1),
        threshold=0.0,
        p_value=0.25,
        p_holm=0.5,
        verdict=verdict,
    )


@pytest.fixture
def report() -> ClaimsReport:
    rows = tuple(
        ClaimRow(condition=c, data="toy", seed=s, values={"acc": base + s / 10, **extra})
        for c, base, extra in (("plain", 0.5, {}), ("new", 0.7, {"leaves": 4.0}))
        for s in (0, 1)
    )
    return ClaimsReport(
        system="fff",
        command="kithara claims fff",
        created="2026-11-23T00:00:00Z",
        scale="Toy data.",
        claims=(result(2.5, "holds"), result(-2.5, "does not hold"), result(0.5, "inconclusive at this scale")),
        rows=rows,
        seconds=1.0,
        rounds=100,
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_shows_every_claim_as_measured(report: ClaimsReport) -> None:
    lines = [cells(line) for line in render(report).splitlines() if "section 3" in line]
    assert [line[-1] for line in lines] == ["**holds**", "**does not hold**", "**inconclusive at this scale**"]
    assert lines[0][5] == "+2.50 [+1.50, +3.50] points"
    assert lines[0][0] == "a / b, 2.5"
    assert len({len(line) for line in lines}) == 1


def test_conditions_show_mean_and_spread_and_gaps(report: ClaimsReport) -> None:
    text = render(report)
    assert "| plain | 0.55 +- 0.0707 | - |" in text
    assert "| new | 0.75 +- 0.0707 | 4 |" in text


def test_the_same_report_gives_the_same_bytes(report: ClaimsReport, tmp_path: Path) -> None:
    again = msgspec.json.decode(msgspec.json.encode(report), type=ClaimsReport)
    first = [path.read_bytes() for path in write(report, tmp_path / "a")]
    assert [path.read_bytes() for path in write(again, tmp_path / "b")] == first


def test_figure_is_svg_that_names_every_claim(report: ClaimsReport, tmp_path: Path) -> None:
    write(report, tmp_path)
    svg = (tmp_path / FIGURE).read_text("utf-8")
    ElementTree.fromstring(svg)
    assert all(claim.claim in svg for claim in report.claims)
    assert re.search(rf"\({re.escape(FIGURE)}\)", (tmp_path / RESULTS).read_text("utf-8"))


def test_replaces_its_own_file_but_not_one_written_by_hand(report: ClaimsReport, tmp_path: Path) -> None:
    write(report, tmp_path)
    write(report, tmp_path)
    assert (tmp_path / RESULTS).read_text("utf-8").startswith(MARK)
    (tmp_path / RESULTS).write_text("my notes")
    (tmp_path / FIGURE).unlink()
    with pytest.raises(OperatorError, match="not generated"):
        write(report, tmp_path)
    assert (tmp_path / RESULTS).read_text() == "my notes"
    assert not (tmp_path / FIGURE).exists()


def test_further_drawings_stand_before_what_was_measured(report: ClaimsReport, tmp_path: Path) -> None:
    text, _ = write(report, tmp_path, [Drawing("bars.svg", "F1 by rule", b"<svg/>")])
    assert (tmp_path / "bars.svg").read_bytes() == b"<svg/>"
    head, _, tail = text.read_text("utf-8").partition("![F1 by rule](bars.svg)")
    assert "## What was measured" in head
    assert "| condition |" in tail

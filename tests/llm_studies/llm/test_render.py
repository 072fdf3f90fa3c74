"""The three files of a report: same report same bytes, everything shown, nothing fetched."""

import math
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.llm import Usage
from contracts.studies import Bar, Figure, StudyReport, Table
from llm_studies.llm import render
from llm_studies.llm.figures import draw, scale
from llm_studies.llm.scatter import Box, spots

METHODS = Table(
    name="methods",
    title="Methods & baselines",
    columns=("method", "n", "accuracy", "p"),
    rows=(("converge <b>", 1319, 0.55882, None), ("direct | fast", 1319, 0.4, math.nan)),
    note="Intervals: 95 %.",
)
DOTS = Figure(
    name="accuracy",
    title="Accuracy",
    unit="share right",
    bars=(Bar(label="converge <b>", value=0.559, low=0.53, high=0.586), Bar(label="direct", value=0.4)),
)
SCATTER = Figure(
    name="pull",
    title="Pull",
    kind="scatter",
    points=((0.4, 0.5, "A1"), (0.6, 0.45, "A & B")),
    x_label="prior",
    y_label="posterior",
)
REPORT = StudyReport(
    study="bloomwise",
    title="A study of <problems>",
    model="simulated",
    scale="1,319 problems.",
    usage=Usage(prompt_tokens=12345, completion_tokens=678),
    calls=2638,
    cost=1.5,
    currency="USD",
    tables=(METHODS,),
    figures=(DOTS, SCATTER),
    warnings=("Texts may be offensive.",),
)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside the style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            self.text.append(data.strip())


@pytest.fixture
def page() -> Page:
    return Page(render.page(REPORT))


def test_the_folder_holds_three_files_and_the_same_bytes_every_time(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    assert render.write(REPORT, first) == first / "report.html"
    render.write(REPORT, second)
    assert sorted(file.name for file in first.iterdir()) == ["report.html", "report.json", "report.md"]
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes()
    read = msgspec.json.decode((first / "report.json").read_bytes(), type=StudyReport)
    assert (read.title, read.calls, read.figures) == (REPORT.title, REPORT.calls, REPORT.figures)


def test_the_page_is_whole_and_asks_for_nothing(page):
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not {"script", "link", "img", "iframe", "object"} & names
    for _, attributes in page.tags:
        assert not {"src", "srcset", "data", "onload", "onclick"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert "url(" not in render.page(REPORT)
    assert "@import" not in render.page(REPORT)


def test_every_link_leads_to_a_place_on_the_page(page):
    places = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert links == {"#figure-accuracy", "#figure-pull", "#methods"}
    assert {link[1:] for link in links if link} <= places


def test_the_page_shows_what_the_report_says(page):
    shown = page.text
    for words in ("A study of <problems>", "Texts may be offensive.", "1.50 USD", "2,638", "1,319 problems."):
        assert words in shown
    cells = ["converge <b>", "1,319", "0.559", "–", "direct | fast", "1,319", "0.400", "–"]
    start = shown.index("p", shown.index("method")) + 1
    assert shown[start : start + len(cells)] == cells
    assert "Intervals: 95 %." in shown
    assert "12,345 in the prompts, 678 in the replies" in shown


def test_numbers_stand_on_the_right_and_texts_on_the_left(page):
    heads = [attributes.get("class") for tag, attributes in page.tags if tag == "th"]
    assert heads == [None, "number", "number", "number"]


def test_markdown_has_the_tables_with_escaped_bars():
    lines = render.markdown(REPORT).splitlines()
    at = lines.index("| method | n | accuracy | p |")
    assert lines[at + 1 : at + 4] == [
        "| :-- | --: | --: | --: |",
        "| converge <b> | 1,319 | 0.559 | – |",
        "| direct \\| fast | 1,319 | 0.400 | – |",
    ]
    assert "> **Note.** Texts may be offensive." in lines
    assert "- Cost: 1.50 USD" in lines


def test_no_cost_is_no_line():
    assert "Cost" not in render.markdown(msgspec.structs.replace(REPORT, cost=None))


def circles(svg: str) -> list[tuple[float, float]]:
    return [(float(one.get("cx", "nan")), float(one.get("cy", "nan"))) for one in ET.fromstring(svg).iter("circle")]


def test_dots_stand_where_their_values_are():
    root = ET.fromstring(draw(DOTS))
    ticks = {
        float(one.text or ""): float(one.get("x", "nan")) for one in root.iter("text") if one.get("class") == "tick"
    }
    (low, left), *_, (high, right) = sorted(ticks.items())
    for (x, _), value in zip(circles(draw(DOTS)), (0.559, 0.4), strict=True):
        assert x == pytest.approx(left + (right - left) * (value - low) / (high - low), abs=0.06)
    lines = [one for one in root.iter("path") if one.get("class") == "interval"]
    assert len(lines) == 1
    assert circles(draw(DOTS))[0][1] < circles(draw(DOTS))[1][1]


def test_a_scatter_goes_up_and_right():
    (x1, y1), (x2, y2) = circles(draw(SCATTER))
    assert x1 < x2
    assert y1 < y2  # 0.5 stands above 0.45, and y counts downwards


@given(st.lists(st.tuples(st.floats(10, 690), st.floats(20, 390), st.text("abc", max_size=20)), max_size=25))
def test_labels_of_a_scatter_stay_on_the_page_and_off_one_another(points):
    page = Box(0, 0, 700, 400)
    places, labels = [(x, y) for x, y, _ in points], [label for _, _, label in points]
    boxes = [
        box_of(spot, label) for spot, label in zip(spots(places, labels, page), labels, strict=True) if spot is not None
    ]
    for i, box in enumerate(boxes):
        assert page.left <= box.left <= box.right <= page.right
        assert not any(box.meets(other) for other in boxes[:i])


def box_of(spot, label) -> Box:
    """Seven units a letter, from where the text begins or to where it ends."""
    left = spot.x if spot.anchor == "start" else spot.x - 7 * len(label)
    return Box(left, spot.y - 9, left + 7 * len(label), spot.y + 2)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_ticks_are_round_and_hold_every_value(values):
    made = scale(values, 0.0, 100.0)
    span = made.ticks[-1] - made.ticks[0]
    assert made.ticks[0] <= min(values) + 1e-6 * span
    assert made.ticks[-1] >= max(values) - 1e-6 * span
    assert 2 <= len(made.ticks) <= 9
    mantissa = float(f"{made.ticks[1] - made.ticks[0]:.3e}".partition("e")[0])
    assert mantissa in (1.0, 2.0, 5.0)


@pytest.mark.parametrize("kind", ["dots", "scatter"])
def test_a_figure_without_values_or_with_odd_ones_is_still_a_figure(kind):
    odd = (Bar(label="x" * 80, value=math.nan, low=math.inf, high=1.0), Bar(label="same", value=1.0, low=1.0, high=1.0))
    for figure in (
        Figure(name="none", title="None", kind=kind),
        Figure(name="odd", title="Odd", kind=kind, bars=odd, points=((math.nan, 1.0, "nan"), (0.0, 0.0, "zero"))),
    ):
        svg = draw(figure)
        assert ET.fromstring(svg).tag == "svg"
        assert "nan" not in svg
        assert "inf" not in svg

"""Offline studies of language models: what every study file holds, and the report that it ends with."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Name, Record
from contracts.llm import Count, NonNegative, Usage

Cell = str | int | float | None
"""A number is shown with three decimals, None as a dash."""


class StudyLimits(Record, frozen=True, kw_only=True):
    """What a study may spend."""

    cost: Annotated[float, Meta(gt=0.0)] | None = None
    """In the price file's currency: a plan above it is refused, and a run stops there. Needs a price file."""
    calls: Annotated[int, Meta(ge=1)] | None = None
    invalid: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.05
    """Share of replies without an answer above which the report carries a warning."""


class Table(Record, frozen=True, kw_only=True):
    """One table of a report."""

    name: Name
    """Of the file and the anchor, e.g. ``methods``."""
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


class Bar(Record, frozen=True, kw_only=True):
    """One value of a figure, with its interval where it has one."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


class Figure(Record, frozen=True, kw_only=True):
    """Values side by side: dots with intervals, or a scatter of ``points``."""

    name: Name
    title: str
    kind: Literal["dots", "scatter"] = "dots"
    unit: str = ""
    bars: tuple[Bar, ...] = ()
    points: tuple[tuple[float, float, str], ...] = ()
    """x, y, label."""
    x_label: str = ""
    y_label: str = ""


class LabelPrediction(Record, frozen=True, kw_only=True):
    """A line of ``predictions.jsonl`` of the task priors. Never the item's text, nor the reply's."""

    item: str
    annotator: str
    """Whose labels the demonstrations carry."""
    condition: str
    shots: Count
    seed: Count
    """Of the demonstrations..."""
    label_seed: Count
    """...and of the labels drawn for them."""
    labels: tuple[str, ...]
    """As read from the reply; empty as well where it has no answer, see ``status``."""
    status: Literal["exact", "alias", "salvage", "invalid", "truncated", "refused"]
    usage: Usage


class AnswerPrediction(Record, frozen=True, kw_only=True):
    """A line of ``predictions.jsonl`` of BloomWise. Never the problem's text, nor the reply's."""

    problem: str
    dataset: str
    method: str
    """A baseline, a ladder, or ``repeat_control``."""
    level: str | None = None
    """Of a ladder, alone; None: what the method puts out, of a ladder under its rule."""
    repeat: Count = 0
    strict: str | None
    """The answer that stands where the prompt asked for it..."""
    answer: str | None
    """...and the one that a lenient reader finds."""
    right: bool
    """The lenient one is the gold answer."""
    finish: Literal["stop", "length", "content_filter", "other"]
    """Of the last reply; ``length`` when any of them was cut off."""
    usage: Usage
    """Of all its calls."""


class StudyReport(Record, frozen=True, kw_only=True):
    """A function of the study file, the data and the replies alone: the same replies give the same bytes."""

    study: Name
    title: str
    model: str
    scale: str
    """What was asked of whom: items, methods, conditions, seeds; and what that is too small for."""
    usage: Usage
    calls: Count
    """Replies that the report is made of, each counted once."""
    cost: NonNegative | None = None
    currency: str = ""
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...] = ()
    warnings: tuple[str, ...] = ()

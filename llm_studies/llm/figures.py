"""Figures of a report as SVG text: dots with intervals, and scatter plots. Deterministic, and free of matplotlib."""

import html
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from contracts.studies import Bar, Figure
from llm_studies.llm.scatter import Box, spots

WIDTH = 760.0
ROW, LABEL, RIGHT, TOP, BOTTOM = 26.0, 250.0, 70.0, 10.0, 44.0
SQUARE, LEFT = 420.0, 64.0
"""Units of the SVG: the height of a scatter, and the room left of its axis."""
NARROW = 1e-9
"""Relative spread below which values count as one."""
MARGIN = 0.04
"""Share of a scatter's range that is left free at its ends."""
CHARACTERS = 32
"""Of a label that fit."""


Point = tuple[float, float, str]
"""x, y, label."""


class Scale(NamedTuple):
    """From values to places on the page."""

    ticks: tuple[float, ...]
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def draw(figure: Figure) -> str:
    """The figure as one ``svg`` element; colours come from the page's style."""
    return _scatter(figure) if figure.kind == "scatter" else _dots(figure)


def scale(values: Iterable[float], start: float, end: float) -> Scale:
    """Round ticks around finite ``values``, about six of them, with steps of 1, 2 or 5 times a power of ten."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if high - low < NARROW * max(1.0, abs(low), abs(high)):
        low, high = low - 0.5 * max(1.0, abs(low)), high + 0.5 * max(1.0, abs(high))
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(tuple(n * step for n in range(first, last + 1)), start, end)


def _dots(figure: Figure) -> str:
    bottom = TOP + ROW * len(figure.bars)
    ends = [end for bar in figure.bars for end in (bar.value, bar.low, bar.high) if end is not None]
    x = scale(ends, LABEL, WIDTH - RIGHT)
    unit = _text((LABEL + WIDTH - RIGHT) / 2, bottom + 36, figure.unit, "middle", "axis")
    decimals = _decimals(x.ticks) + 2 if x.ticks[1] - x.ticks[0] < 1 else 1
    rows = (line for i, bar in enumerate(figure.bars) for line in _bar(bar, x, TOP + ROW * (i + 0.5), decimals))
    return _svg(figure, bottom + BOTTOM, [*_vertical(x, TOP, bottom), unit, *rows])


def _bar(bar: Bar, x: Scale, y: float, decimals: int) -> Iterator[str]:
    yield _text(LABEL - 14, y + 4, _short(bar.label), "end", "label", full=bar.label)
    if bar.low is not None and bar.high is not None and math.isfinite(bar.low) and math.isfinite(bar.high):
        yield f'<path class="interval" d="M{x(bar.low):.1f} {y:.1f}H{x(bar.high):.1f}"/>'
    if math.isfinite(bar.value):
        yield f'<circle class="dot" cx="{x(bar.value):.1f}" cy="{y:.1f}" r="4.5"><title>{_told(bar)}</title></circle>'
        yield _text(WIDTH - RIGHT + 12, y + 4, f"{bar.value:.{decimals}f}", "start", "value")


def _told(bar: Bar) -> str:
    interval = "" if bar.low is None or bar.high is None else f" [{bar.low:.3f}, {bar.high:.3f}]"
    return html.escape(f"{bar.label}: {bar.value:.3f}{interval}")


def _scatter(figure: Figure) -> str:
    bottom = SQUARE - BOTTOM
    points = [point for point in figure.points if math.isfinite(point[0]) and math.isfinite(point[1])]
    x = scale(_roomy([point[0] for point in points]), LEFT, WIDTH - RIGHT)
    y = scale(_roomy([point[1] for point in points]), bottom, TOP)
    labels = [
        _text((LEFT + WIDTH - RIGHT) / 2, bottom + 36, figure.x_label, "middle", "axis"),
        _text(14, (TOP + bottom) / 2, figure.y_label, "middle", "axis", turned=True),
    ]
    marks = _points(points, [(x(point[0]), y(point[1])) for point in points], Box(LEFT, TOP - 8, WIDTH, bottom))
    return _svg(figure, SQUARE, [*_vertical(x, TOP, bottom), *_horizontal(y), *labels, *marks])


def _roomy(values: Sequence[float]) -> tuple[float, ...]:
    """Ends a little beyond the values, so that no point sits on the frame."""
    if not values:
        return ()
    low, high = min(values), max(values)
    return low - MARGIN * (high - low), high + MARGIN * (high - low)


def _points(points: Sequence[Point], places: Sequence[tuple[float, float]], page: Box) -> Iterator[str]:
    names = [_short(label) for _, _, label in points]
    for (at, height, label), (x, y) in zip(points, places, strict=True):
        told = html.escape(f"{label}: {at:.3f}, {height:.3f}")
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4.5"><title>{told}</title></circle>'
    for name, spot in zip(names, spots(places, names, page), strict=True):
        if spot is not None:
            yield _text(spot.x, spot.y, name, spot.anchor, "value")


def _vertical(x: Scale, top: float, bottom: float) -> Iterator[str]:
    for tick, name in zip(x.ticks, _names(x.ticks), strict=True):
        yield f'<path class="grid" d="M{x(tick):.1f} {top:.1f}V{bottom:.1f}"/>'
        yield _text(x(tick), bottom + 17, name, "middle", "tick")


def _horizontal(y: Scale) -> Iterator[str]:
    for tick, name in zip(y.ticks, _names(y.ticks), strict=True):
        yield f'<path class="grid" d="M{LEFT:.1f} {y(tick):.1f}H{WIDTH - RIGHT:.1f}"/>'
        yield _text(LEFT - 8, y(tick) + 4, name, "end", "tick")


def _names(ticks: Sequence[float]) -> list[str]:
    return [f"{tick + 0.0:.{_decimals(ticks)}f}" for tick in ticks]


def _decimals(ticks: Sequence[float]) -> int:
    """As many as the step between ticks has."""
    return max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))


def _short(label: str) -> str:
    return label if len(label) <= CHARACTERS else f"{label[: CHARACTERS - 1]}…"


def _text(x: float, y: float, text: str, anchor: str, kind: str, *, turned: bool = False, full: str = "") -> str:
    place = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    title = f"<title>{html.escape(full)}</title>" if full and full != text else ""
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{place}>{title}{html.escape(text)}</text>'
    )


def _svg(figure: Figure, height: float, parts: Iterable[str]) -> str:
    head = f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{html.escape(figure.title)}">'
    return "\n".join([head, *parts, "</svg>", ""])

"""Where the labels of a scatter's points go: beside their point, on the page, and not over one another."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

CHARACTER, HEIGHT = 7.3, 13.0
"""Room of a letter, and of a line, in units of the SVG."""
AWAY = 8.0
"""From a point to its label."""


class Box(NamedTuple):
    """A rectangle on the page."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


class Spot(NamedTuple):
    """Where a label's text starts or ends, on its base line."""

    x: float
    y: float
    anchor: str


def spots(points: Sequence[tuple[float, float]], labels: Sequence[str], page: Box) -> list[Spot | None]:
    """For each point the first free place around it; None where there is none: the label is then shown on hovering."""
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    placed: list[Spot | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        free = next((one for one in _around(x, y) if _fits(_box(one, label), taken, page)), None)
        if free is not None:
            taken.append(_box(free, label))
        placed.append(free)
    return placed


def _around(x: float, y: float) -> Iterator[Spot]:
    for down in (4.0, -8.0, 16.0, -20.0, 28.0):
        yield Spot(x + AWAY, y + down, "start")
        yield Spot(x - AWAY, y + down, "end")


def _box(spot: Spot, label: str) -> Box:
    width = CHARACTER * len(label)
    left = spot.x if spot.anchor == "start" else spot.x - width
    return Box(left, spot.y - HEIGHT + 3, left + width, spot.y + 3)


def _fits(box: Box, taken: Sequence[Box], page: Box) -> bool:
    inside = page.left <= box.left and box.right <= page.right and page.top <= box.top and box.bottom <= page.bottom
    return inside and not any(box.meets(other) for other in taken)

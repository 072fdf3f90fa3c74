"""The report's own figure: F1 of every class under every condition, mean over seeds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.claims.report import Drawing, styled, svg
from contracts.claims import ClaimRow

CLASS = "f1_"
"""Before the name of a class, in the name of its figure."""
FIGURE = "classes.svg"


def drawings(rows: Sequence[ClaimRow]) -> tuple[Drawing, ...]:
    return (Drawing(FIGURE, "F1 of each class in per cent, mean over seeds", classes(rows)),)


def classes(rows: Sequence[ClaimRow]) -> bytes:
    """SVG: data sets down; in each, conditions down and classes across."""
    tables = {
        name: table([row for row in rows if row.data == name]) for name in dict.fromkeys(row.data for row in rows)
    }
    heights = [len(found[0]) + 2.5 for found in tables.values()]
    with styled():
        figure = Figure(figsize=(9, 0.24 * sum(heights)), layout="constrained")
        panels = figure.subplots(len(tables), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (name, found) in zip(panels, tables.items(), strict=True):
            _panel(axes, *found)
            axes.set_title(name, loc="left")
        return svg(figure)


def table(rows: Sequence[ClaimRow]) -> tuple[list[str], list[str], np.ndarray]:
    """Conditions, classes, and mean F1, float64 (conditions, classes), of one data set's rows."""
    conditions = list(dict.fromkeys(row.condition for row in rows))
    names = [name for name in rows[0].values if name.startswith(CLASS)]
    cells = [
        [np.mean([row.values[name] for row in rows if row.condition == condition]) for name in names]
        for condition in conditions
    ]
    return conditions, [name.removeprefix(CLASS) for name in names], np.array(cells, np.float64)


def _panel(axes: Axes, conditions: list[str], names: list[str], cells: np.ndarray) -> None:
    axes.pcolormesh(cells, vmin=0.0, vmax=1.0, cmap="Blues", edgecolors="white", linewidth=0.5)
    for (y, x), share in np.ndenumerate(cells):
        colour = "white" if share > 0.6 else "black"  # what can be read on the cell
        axes.text(x + 0.5, y + 0.5, f"{100 * share:.0f}", ha="center", va="center", color=colour)
    axes.set_xticks(np.arange(len(names)) + 0.5, names)
    axes.set_yticks(np.arange(len(conditions)) + 0.5, conditions)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)

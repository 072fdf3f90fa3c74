"""The Pareto plot: test error under hard routing against measured latency."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.claims.report import Drawing, styled, svg
from common.export.latency import BATCHES
from contracts.claims import ClaimRow
from vision_nlp.fff.pareto import is_dense, latency_of
from vision_nlp.fff.statements import BALANCED, MASTER, PLAIN, TUNED

ARMS = {PLAIN: ("x", "#d97706"), BALANCED: ("+", "#b3372b"), MASTER: ("^", "#7c3aed"), TUNED: ("o", "#1d4ed8")}
"""Marker and colour."""
DENSE = "#111827"
OFFSET: dict[str, Any] = {"textcoords": "offset points"}


def drawings(rows: Sequence[ClaimRow]) -> tuple[Drawing, ...]:
    """One figure of every data set."""
    title = "test error (hard) against measured latency, mean over seeds; down and left is better"
    return (Drawing("pareto.svg", title, pareto(rows)),)


def pareto(rows: Sequence[ClaimRow]) -> bytes:
    """SVG: data sets down, rows per call across; both axes logarithmic."""
    names = list(dict.fromkeys(row.data for row in rows))
    with styled():
        figure = Figure(figsize=(9, 3.4 * len(names)), layout="constrained")
        panels = figure.subplots(len(names), len(BATCHES), squeeze=False, sharey="row")
        for line, name in zip(panels, names, strict=True):
            here = [row for row in rows if row.data == name]
            for axes, batch in zip(line, BATCHES, strict=True):
                _panel(axes, here, batch)
                axes.set_title(f"{name}, batch {batch}", loc="left")
            line[0].set_ylabel("test error, %")
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return svg(figure)


def _panel(axes: Axes, rows: Sequence[ClaimRow], batch: int) -> None:
    points = {
        name: _point([row for row in rows if row.condition == name], batch)
        for name in dict.fromkeys(row.condition for row in rows if latency_of(batch) in row.values)
    }
    dense = {name: at for name, at in points.items() if is_dense(name)}
    along = front(dense.values())
    # To the right of its last point a front goes on: slower is no worse.
    along.append((max(latency for latency, _ in points.values()), along[-1][1]))
    axes.step(*zip(*along, strict=True), where="post", color=DENSE, linewidth=0.8, label="dense front")
    for kind, marker in (("float32", "s"), ("int8", "D")):
        here = [at for name, at in dense.items() if name.endswith("int8") == (kind == "int8")]
        axes.plot(*zip(*here, strict=True), marker, color=DENSE, markersize=3, linestyle="", label=f"dense {kind}")
    for name, at in dense.items():
        axes.annotate(name.removeprefix("dense "), at, fontsize=6, color=DENSE, xytext=(0, 4), **OFFSET)
    for arm, (marker, colour) in ARMS.items():
        trees = {name.split()[0]: at for name, at in points.items() if name.split(maxsplit=1)[1] == arm}
        axes.plot(*zip(*trees.values(), strict=True), marker, color=colour, markersize=5, linestyle="", label=arm)
        for shape, at in trees.items():
            axes.annotate(shape, at, fontsize=6, color=colour, xytext=(4, -2), **OFFSET)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("microseconds a call")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (latency, error) that no other beats in both, from left to right."""
    kept: list[tuple[float, float]] = []
    for latency, error in sorted(points):
        if not kept or error < kept[-1][1]:
            kept.append((latency, error))
    return kept


def _point(rows: Sequence[ClaimRow], batch: int) -> tuple[float, float]:
    """Microseconds and percent."""
    latency, accuracy = (fmean(row.values[figure] for row in rows) for figure in (latency_of(batch), "test_hard"))
    return latency, 100 * (1 - accuracy)

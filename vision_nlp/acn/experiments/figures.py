"""Figures of the report: accuracy over depth, under noise, while pruned, and against latency. Means over seeds; a band
is the 95 % interval."""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from common.claims.report import Drawing, styled, svg
from common.claims.statistics import student_interval
from contracts.claims import ClaimRow
from vision_nlp.acn.experiments import layers, noise, pruning, side_by_side
from vision_nlp.acn.experiments.lab import ACN, CLEAN, DENSE, DIRECT, FFN, PLAIN, RESIDUAL, Experiment

COLOURS = {
    ACN: "#1d4ed8", DIRECT: "#0891b2", PLAIN: "#7c3aed", RESIDUAL: "#b3372b", CLEAN: "#d97706", FFN: "#6b7280",
    DENSE: "#2a7f3f",
}  # fmt: skip
Values = list[dict[str, float]]
"""Of one condition, seed by seed."""
Panel = Callable[[Axes, dict[str, Values]], None]
"""Draws one data set: the conditions of one experiment, under their plain names."""


def drawings(rows: Sequence[ClaimRow]) -> tuple[Drawing, ...]:
    """Of the experiments whose rows are there."""
    wanted = (
        ("depth.svg", "test accuracy of sub-networks, by blocks", layers.EXPERIMENT, depth),
        ("latency.svg", "accuracy against ONNX Runtime's time for one picture", side_by_side.EXPERIMENT, latency),
        ("noise.svg", "accuracy under noise", noise.EXPERIMENT, under_noise),
        ("pruning.svg", "accuracy while 40 % of the weights go after each epoch, by movement", pruning.EXPERIMENT,
         pruned),
    )  # fmt: skip
    return tuple(
        Drawing(name, title, panels(rows, experiment, panel))
        for name, title, experiment, panel in wanted
        if _sets(rows, experiment)
    )


def panels(rows: Sequence[ClaimRow], experiment: Experiment, panel: Panel) -> bytes:
    """SVG: one panel a data set."""
    names = _sets(rows, experiment)
    with styled():
        figure = Figure(figsize=(5 * len(names) + 2, 3.6), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            panel(axes, _conditions(rows, experiment, name))
            axes.set_title(name, loc="left")
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")
        return svg(figure)


def depth(axes: Axes, of: dict[str, Values]) -> None:
    """x: blocks; the dot is the mean cut."""
    for kind, values in of.items():
        count = sum(name.startswith("after ") for name in values[0])
        table = np.array([[v[layers.after(k)] for k in range(count)] for v in values])
        _curve(axes, np.arange(count), table, kind)
        cut = float(np.mean([v["cut"] for v in values]))
        axes.plot([cut], [np.interp(cut, np.arange(count), table.mean(0))], "o", color=COLOURS[kind], markersize=5)
    axes.set_xlabel("blocks read; the dot is the mean cut")
    axes.set_ylabel("test accuracy")


def latency(axes: Axes, of: dict[str, Values]) -> None:
    """Full marks: whole; half marks: cut; open marks: from scratch at the depth of ACN's cut."""
    fills = {side_by_side.whole: "full", side_by_side.cut: "left", side_by_side.scratch: "none"}
    for kind, colour in COLOURS.items():
        for named, fill in fills.items():
            if values := of.get(named(kind)):
                x, y = (float(np.mean([v[name] for v in values])) for name in ("p50 us, batch 1", "accuracy"))
                axes.plot(x, y, "o", color=colour, fillstyle=fill, markersize=8, linestyle="", label=named(kind))
    axes.set_xlabel("median microseconds, one picture, one thread")
    axes.set_ylabel("test accuracy")


def under_noise(axes: Axes, of: dict[str, Values]) -> None:
    names = ("clean", *noise.NOISES)
    for condition, values in of.items():
        style = "-" if condition in COLOURS else ":"
        table = np.array([[v[name] for name in names] for v in values])
        _curve(axes, np.arange(len(names)), table, condition, style)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_ylabel("test accuracy")


def pruned(axes: Axes, of: dict[str, Values]) -> None:
    start = "{} {:.0%} each, ".format(*pruning.TO_SIZE)
    for kind in pruning.NETWORKS:
        values = of[kind]
        names = [name for name in values[0] if re.fullmatch(re.escape(start) + r"\d+% gone", name)]
        gone = np.array([float(name.removeprefix(start).removesuffix("% gone")) for name in names])
        _curve(axes, gone, np.array([[v[name] for name in names] for v in values]), kind)
    axes.set_xlabel("percent of the weights gone")
    axes.set_ylabel("test accuracy")


def _curve(axes: Axes, x: np.ndarray, table: np.ndarray, name: str, style: str = "-") -> None:
    """``table`` is (seeds, points)."""
    kind = name if name in COLOURS else max((k for k in COLOURS if name.startswith(k)), key=len)
    found = [student_interval(column) for column in table.T]
    axes.plot(x, table.mean(0), style, color=COLOURS[kind], marker=".", label=name)
    # Student's t does not know that an accuracy ends at 0 and 1.
    low, high = np.clip([[f.low for f in found], [f.high for f in found]], 0.0, 1.0)
    axes.fill_between(x, low, high, color=COLOURS[kind], alpha=0.12, linewidth=0)


def _sets(rows: Iterable[ClaimRow], experiment: Experiment) -> list[str]:
    end = experiment.data("")
    return list(dict.fromkeys(row.data.removesuffix(end) for row in rows if row.data.endswith(end)))


def _conditions(rows: Iterable[ClaimRow], experiment: Experiment, name: str) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for row in rows:
        if row.data == experiment.data(name):
            found.setdefault(row.condition.removeprefix(experiment.named("")), []).append(row.values)
    return found

"""Figures of the evaluation protocol: F1 and cardinality by rule, and how many prototypes there are."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from common.claims.report import Drawing, styled, svg
from common.claims.statistics import student_interval
from contracts.claims import ClaimRow
from music_fewshot.lc_protonets.study import PRE

COLOURS = {
    "lcp": "#1d4ed8", "ml_pn": "#b3372b", "topk": "#d97706", "blend": "#2a7f3f", "centred": "#7c3aed",
    "nearest": "#0891b2", "all_ones": "#6b7280",
}  # fmt: skip
"""Rules and controls that are shown, and how."""


def drawings(rows: Sequence[ClaimRow]) -> tuple[Drawing, ...]:
    """Of the untuned network; rows of other conditions are left out."""
    shown = [row for row in rows if row.condition.startswith(f"{PRE}, ")]
    return (
        Drawing("macro.svg", "macro-F1 by rule, without tuning: mean and 95 % interval over seeds", macro(shown)),
        Drawing("cardinality.svg", "tags told and tags there are, without tuning", cardinality(shown)),
        Drawing("scalability.svg", "closed sets against label combinations, one point an episode", scalability(shown)),
    )


def macro(rows: Sequence[ClaimRow]) -> bytes:
    """SVG: one panel a data set, one group an episode kind, one bar a rule."""
    with styled():
        return svg(_grouped(rows, COLOURS, "macro", "macro-F1"))


def cardinality(rows: Sequence[ClaimRow]) -> bytes:
    """SVG: the same for the mean number of tags told; a black line is the true number."""
    with styled():
        figure = _grouped(rows, [rule for rule in COLOURS if rule != "all_ones"], "told", "tags a clip")
        for axes, name in zip(figure.axes, _names(rows), strict=True):
            for x, (_, here) in enumerate(_cells(rows, name)):
                axes.plot([x - 0.45, x + 0.45], [np.mean([row.values["true"] for row in here])] * 2, color="black")
            axes.set_yscale("log")
        return svg(figure)


def scalability(rows: Sequence[ClaimRow]) -> bytes:
    """SVG: both axes logarithmic; on the dotted line every combination has a prototype of its own."""
    with styled():
        figure = Figure(figsize=(5, 4), layout="constrained")
        axes = figure.subplots()
        exact = [row for row in rows if row.values["exact"] == 1.0]
        for name in _names(exact):
            here = [row.values for row in exact if row.data == name]
            axes.plot(
                [v["combinations"] for v in here], [v["closed sets"] for v in here], "o", markersize=4, label=name
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axline((1, 1), (10, 10), color="#6b7280", linestyle=":")
        axes.set_xlabel("label combinations of the support")
        axes.set_ylabel("closed sets: prototypes that differ")
        axes.legend()
        return svg(figure)


def _grouped(rows: Sequence[ClaimRow], rules: Iterable[str], figure_name: str, label: str) -> Figure:
    names, rules = _names(rows), list(rules)
    figure = Figure(figsize=(9, 2.3 * len(names)), layout="constrained")
    for axes, name in zip(figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
        cells = list(_cells(rows, name))
        for offset, rule in zip(np.linspace(-0.35, 0.35, len(rules)), rules, strict=True):
            for x, (_, here) in enumerate(cells):
                _bar(axes, x + offset, np.array([row.values[f"{rule} {figure_name}"] for row in here]), rule)
        axes.set_xticks(range(len(cells)), [f"{cell} ({here[0].values['tags']:.0f})" for cell, here in cells])
        axes.set_ylabel(label)
        axes.set_title(name, loc="left")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    handles = [Patch(color=COLOURS[rule], label=rule) for rule in rules]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(rules))
    return figure


def _bar(axes: Axes, x: float, values: np.ndarray, rule: str) -> None:
    found = student_interval(values)
    axes.bar(x, values.mean(), 0.1, color=COLOURS[rule])
    axes.plot([x, x], [max(found.low, 0.0), found.high], color="black", linewidth=0.8)


def _names(rows: Iterable[ClaimRow]) -> list[str]:
    return list(dict.fromkeys(row.data for row in rows))


def _cells(rows: Iterable[ClaimRow], name: str) -> Iterator[tuple[str, list[ClaimRow]]]:
    here = [row for row in rows if row.data == name]
    for condition in dict.fromkeys(row.condition for row in here):
        yield condition.removeprefix(f"{PRE}, "), [row for row in here if row.condition == condition]

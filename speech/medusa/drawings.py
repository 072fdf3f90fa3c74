"""What ``evaluate`` draws beside metrics.json: who was taken for whom, and what a stated probability is worth."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from common.claims.report import styled, svg
from common.registry.cards import write_whole
from speech.medusa.figures import Figures

CONFUSION, CALIBRATION = "confusion.svg", "calibration.svg"


def draw(figures: Figures, folder: Path) -> None:
    """Both figures, of the test split, into the run's folder."""
    with styled():
        write_whole(folder / CONFUSION, svg(confusion(figures)))
        write_whole(folder / CALIBRATION, svg(calibration(figures)))


def confusion(figures: Figures) -> Figure:
    """Shares of every true class (rows), and the clips behind them."""
    counts = np.array(figures.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    drawn = Figure(figsize=(6, 5), layout="constrained")
    axes = drawn.subplots()
    axes.pcolormesh(shares, vmin=0.0, vmax=1.0, cmap="Blues", edgecolors="white", linewidth=0.5)
    for (truth, answer), clips in np.ndenumerate(counts):
        colour = "white" if shares[truth, answer] > 0.6 else "black"  # what can be read on the cell
        axes.text(answer + 0.5, truth + 0.5, str(clips), ha="center", va="center", color=colour)
    places = np.arange(len(counts)) + 0.5
    axes.set_xticks(places, figures.classes, rotation=30)
    axes.set_yticks(places, figures.classes)
    axes.invert_yaxis()
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    return drawn


def calibration(figures: Figures) -> Figure:
    """Accuracy over confidence, each bin as large as it has clips; a calibrated model lies on the line."""
    drawn = Figure(figsize=(5, 5), layout="constrained")
    axes = drawn.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    bins = figures.reliability
    sizes = [6.0 * each.clips for each in bins]
    axes.scatter([each.confidence for each in bins], [each.accuracy for each in bins], s=sizes, alpha=0.7)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    return drawn

"""Figures: which are drawn, of what, always with the same bytes."""

import xml.etree.ElementTree as ElementTree

import numpy as np
from matplotlib.figure import Figure

from contracts.claims import ClaimRow
from vision_nlp.acn.experiments import layers, noise
from vision_nlp.acn.experiments.figures import depth, drawings
from vision_nlp.acn.experiments.lab import ACN, RESIDUAL

CURVES = {ACN: (0.1, 0.8, 0.9), RESIDUAL: (0.1, 0.2, 0.9)}


def rows(name: str) -> list[ClaimRow]:
    return [
        ClaimRow(
            condition=layers.EXPERIMENT.named(kind),
            data=layers.EXPERIMENT.data(name),
            seed=seed,
            values={"cut": 1.0 + (kind == RESIDUAL)} | {layers.after(k): v - 0.02 * seed for k, v in enumerate(curve)},
        )
        for kind, curve in CURVES.items()
        for seed in (0, 1)
    ]


def test_a_figure_is_drawn_where_its_experiment_was_run() -> None:
    made = drawings([*rows("digits"), *rows("usps")])
    assert [drawing.name for drawing in made] == ["depth.svg"]
    text = "".join(ElementTree.fromstring(made[0].svg).itertext())
    assert all(word in text for word in ("digits", "usps", ACN, RESIDUAL))
    assert drawings([*rows("digits"), *rows("usps")]) == made
    assert drawings([]) == ()


def test_curves_are_means_over_seeds() -> None:
    axes = Figure().subplots()
    depth(axes, {ACN: [row.values for row in rows("digits")[:2]]})
    curve, cut = axes.get_lines()
    np.testing.assert_allclose(np.asarray(curve.get_ydata()), [0.09, 0.79, 0.89])
    np.testing.assert_allclose(np.asarray(cut.get_xydata()), [[1.0, 0.79]])


def test_experiments_do_not_share_a_table() -> None:
    assert layers.EXPERIMENT.named(ACN) != noise.EXPERIMENT.named(ACN)
    assert layers.EXPERIMENT.data("usps") != noise.EXPERIMENT.data("usps")

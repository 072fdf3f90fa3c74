"""The figure of classes: its table by value, its bytes by repetition."""

import numpy as np
import pytest

from contracts.claims import ClaimRow
from speech.medusa.experiments.figures import FIGURE, drawings, table


@pytest.fixture
def rows() -> tuple[ClaimRow, ...]:
    return tuple(
        ClaimRow(
            condition=condition,
            data=data,
            seed=seed,
            values={"macro_f1": 0.1, "f1_calm": share + 0.1 * seed, "f1_cross": 0.25},
        )
        for data in ("one", "two")
        for seed in (0, 1)
        for condition, share in (("whole", 0.4), ("part", 0.2))
    )


def test_a_cell_is_the_mean_over_seeds(rows: tuple[ClaimRow, ...]) -> None:
    conditions, classes, cells = table([row for row in rows if row.data == "one"])
    assert (conditions, classes) == (["whole", "part"], ["calm", "cross"])
    np.testing.assert_allclose(cells, [[0.45, 0.25], [0.25, 0.25]])


def test_the_figure_names_all_it_shows_and_repeats_to_the_byte(rows: tuple[ClaimRow, ...]) -> None:
    (drawn,), (again,) = drawings(rows), drawings(rows)
    assert drawn.name == FIGURE
    assert drawn.svg == again.svg
    text = drawn.svg.decode()
    for shown in ("one", "two", "whole", "part", "calm", "cross", ">45<", ">25<"):
        assert shown in text

"""One measure for all tables: similarities of conditions on the same drawn items, with intervals and chance."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from common.claims.bootstrap import item_weights, paired_rounds, percentile, seed_rounds
from common.claims.similarity import MEASURES, between, within
from contracts.studies import Cell
from llm_studies.icl_priors.chance import chance_corrected, chance_level, trivial_levels

Runs = Sequence[np.ndarray]
"""Of one condition, each bool (items, labels)."""


class Side(NamedTuple):
    """One condition at one number of shots, or the truth."""

    name: str
    runs: Runs
    shots: int = 0


class Found(NamedTuple):
    """A similarity of two sides under every measure of MEASURES."""

    mean: np.ndarray
    """(MEASURES,)"""
    sd: np.ndarray
    pairs: int
    items: np.ndarray
    """(rounds, MEASURES): over items."""
    both: np.ndarray
    """Over items and runs."""
    chance: np.ndarray
    """(MEASURES,): of the one with the other's labels of another item."""


class Ruler:
    """Measures pairs of sides on the same drawn items, each pair once."""

    def __init__(self, items: int, rounds: int, shuffles: int) -> None:
        self._weights = item_weights(items, rounds)
        self.shuffles = shuffles
        self._known: dict[tuple[str, int, str, int], Found] = {}

    def __call__(self, left: Side, right: Side) -> Found | None:
        """None where a side has no run, or one condition has no second run to be compared with."""
        key = (left.name, left.shots, right.name, right.shots)
        same = key[:2] == key[2:]
        if key not in self._known:
            if not left.runs or not right.runs or (same and len(left.runs) < 2):
                return None
            self._known[key] = self._measure(left, right, same)
        return self._known[key]

    def _measure(self, left: Side, right: Side, same: bool) -> Found:
        spreads = [within(left.runs, m) if same else between(left.runs, right.runs, m) for m in MEASURES]
        if same:
            pairs = [paired_rounds([a], [b], self._weights)[:, 0, 0] for a, b in combinations(left.runs, 2)]
            items = both = np.mean(pairs, axis=0)  # runs drawn twice would be compared with themselves
        else:
            rounds = paired_rounds(left.runs, right.runs, self._weights)
            items, both = rounds.mean((1, 2)), seed_rounds(rounds)
        chance = chance_level(left.runs[0], right.runs[-1], shuffles=self.shuffles)
        return Found(
            np.array([s.mean for s in spreads]), np.array([s.sd for s in spreads]), spreads[0].pairs, items, both,
            np.array(chance),
        )  # fmt: skip


TITLES = ("JS", "micro-F1", "macro-F1")
FIGURES = ("mean", "SD over pairs", "pairs", "low, items", "high, items", "low, items and runs", "high, items and runs",
           "above chance")  # fmt: skip


def figures(found: Found, m: int) -> tuple[Cell, ...]:
    """The columns FIGURES."""
    items, both = percentile(found.items[:, m]), percentile(found.both[:, m])
    above = chance_corrected(float(found.mean[m]), float(found.chance[m]))
    return (float(found.mean[m]), float(found.sd[m]), found.pairs, items.low, items.high, both.low, both.high, above)


def difference(first: Found | None, second: Found | None, m: int) -> tuple[Cell, Cell, Cell]:
    """First minus second with the interval over items, paired."""
    if first is None or second is None:
        return (None, None, None)
    found = percentile(first.items[:, m] - second.items[:, m])
    return (float(first.mean[m] - second.mean[m]), found.low, found.high)


def best_trivial(truth: np.ndarray, shuffles: int) -> tuple[float, ...]:
    """The best of ``trivial`` under each of MEASURES."""
    levels = trivial_levels(truth, shuffles=shuffles)
    return tuple(max(values) for values in zip(*((one.js, one.micro_f1, one.macro_f1) for one in levels), strict=True))

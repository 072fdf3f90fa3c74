"""Tables of likeness: how near conditions are to the truth, to one another and to themselves (sections 4 and 5).

Every figure is the mean over pairs of runs. Two intervals stand beside it: over items, and over items and runs. The
same items are drawn for all conditions, so the interval of a difference is that of paired rounds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from common.claims.bootstrap import percentile
from common.claims.similarity import MEASURES
from contracts.studies import Bar, Cell, Figure, Table
from llm_studies.icl_priors.chance import trivial_levels
from llm_studies.icl_priors.ruler import FIGURES, TITLES, Found, Ruler, Side, best_trivial, difference, figures


def trivial(truths: Mapping[str, np.ndarray], shuffles: int) -> Table:
    """What costs no thought, on the labels of each annotator."""
    rows = [
        (name, level.name, level.js, level.micro_f1, level.macro_f1)
        for name, truth in truths.items()
        for level in trivial_levels(truth, shuffles=shuffles)
    ]
    return Table(
        name="trivial",
        title="What costs no thought: similarity to the truth of answers that ignore the text",
        columns=("labels of", "answer", "JS", "micro-F1", "macro-F1"),
        rows=tuple(rows),
        note="Where most texts have no label, JS rewards silence: read micro-F1 and the chance-corrected column.",
    )


def matrices(sides: Mapping[int, Sequence[Side]], truth: Side, ruler: Ruler) -> Iterator[Table]:
    """One similarity matrix per measure, as rows of pairs, for each number of shots; last, trivial answers."""
    levels = trivial_levels(truth.runs[0], shuffles=ruler.shuffles)
    for m, measure in enumerate(MEASURES):
        rows: list[tuple[Cell, ...]] = []
        for shots, here in sides.items():
            for left, right in _pairs(here, truth):
                if found := ruler(left, right):
                    rows.append((shots, left.name, right.name, *figures(found, m)))
        rows += [
            (None, level.name, truth.name, (level.js, level.micro_f1, level.macro_f1)[m], *([None] * 7))
            for level in levels
        ]
        yield Table(
            name=f"similarity_{measure}",
            title=f"Similarity between conditions: {TITLES[m]}",
            columns=("shots", "of", "to", *FIGURES),
            rows=tuple(rows),
            note="A condition against itself: over unordered pairs of runs. Last rows: trivial answers.",
        )


def strength(posterior: Mapping[int, Side], prior: Mapping[int, Side], truth: Side, ruler: Ruler) -> Table:
    """Section 5, 1 and 2: is the posterior nearer to the prior than to the truth; what did it gain over the prior."""
    rows: list[tuple[Cell, ...]] = []
    costless = best_trivial(truth.runs[0], ruler.shuffles)
    for m, measure in enumerate(TITLES):
        to_truth = {k: found for k, side in prior.items() if (found := ruler(side, truth))}
        best = max((float(found.mean[m]) for found in to_truth.values()), default=0.0)
        for shots, post in posterior.items():
            if shots not in prior:
                continue
            right, near = ruler(post, truth), ruler(post, prior[shots])
            own = to_truth.get(shots)
            if right and near and own:
                rows.append((
                    measure, shots, float(right.mean[m]), float(near.mean[m]), *difference(near, right, m),
                    float(own.mean[m]), _gain(float(right.mean[m]), float(own.mean[m])),
                    _gain(float(right.mean[m]), best), costless[m],
                ))  # fmt: skip
    return Table(
        name="strength",
        title="Strength of the prior, and improvement over it",
        columns=(
            "measure",
            "shots",
            "posterior to truth",
            "posterior to prior",
            "difference",
            "low",
            "high",
            "prior to truth",
            "improvement over prior, %",
            "over the best shots' prior, %",
            "best trivial answer to truth",
        ),
        rows=tuple(rows),
        note="Difference above 0: the posterior is nearer to the prior than to the truth. A more consistent prior "
        "raises similarity to it at equal pull: read the pull table for the two apart.",
    )


def consistency(sides: Iterable[tuple[int, Side]], control: Mapping[int, Found], ruler: Ruler) -> Table:
    """Section 5, 3 and 4: self-similarity over runs. The repeat control is what the server alone changes."""
    rows: list[tuple[Cell, ...]] = []
    for shots, side in sides:
        if found := ruler(side, side):
            rows += [
                (TITLES[m], side.name, shots, *figures(found, m)[:5], figures(found, m)[-1], _at(control.get(shots), m))
                for m in range(len(MEASURES))
            ]
    rows.sort(key=lambda row: TITLES.index(str(row[0])))
    return Table(
        name="consistency",
        title="Consistency: similarity of a condition's runs to one another (reinforcement: prior prompts against ICL)",
        columns=("measure", "condition", "shots", *FIGURES[:5], FIGURES[-1], "repeat control"),
        rows=tuple(rows),
        note="examples: other demonstrations in each run; labels: the same demonstrations with other labels. Repeat "
        "control: the identical prompt twice; below 1, the server itself is not deterministic.",
    )


def reinforcement(
    prompts: Sequence[tuple[int, Side, Side]], posterior: Mapping[int, Side], truth: Side, ruler: Ruler
) -> Table:
    """Section 5, 5: is it easier to reproduce the own prior than the truth? (shots, prior prompt, its supplier)."""
    rows: list[tuple[Cell, ...]] = []
    for m, measure in enumerate(TITLES):
        for shots, told, own in prompts:
            right = ruler(posterior[shots], truth) if shots in posterior else None
            # Each prior prompt against the one run whose predictions it was shown.
            pairs = [ruler(Side(f"{told.name} {i} of {shots}", [a]), Side(f"{own.name} {i} of {shots}", [b]))
                     for i, (a, b) in enumerate(zip(told.runs, own.runs, strict=True))]  # fmt: skip
            found = [pair for pair in pairs if pair]
            if found:
                mine = Found(*(np.mean([getattr(p, name) for p in found], axis=0) for name in Found._fields))
                interval = percentile(mine.items[:, m])
                rows.append((measure, told.name, shots, float(mine.mean[m]), interval.low, interval.high,
                             None if right is None else float(right.mean[m]), *difference(mine, right, m)))  # fmt: skip
    return Table(
        name="reinforcement",
        title="Reinforcement accuracy: prior prompts to the prior that labelled them, ICL to the truth",
        columns=(
            "measure",
            "prompts",
            "shots",
            "to own prior",
            "low",
            "high",
            "ICL to truth",
            "difference",
            "difference low",
            "difference high",
        ),
        rows=tuple(rows),
        note="Difference above 0: the model reproduces its own prior more easily than the truth.",
    )


def dots(table: Table, *, label: Sequence[int], value: int, low: int, high: int, unit: str) -> Figure:
    """A figure of a table's rows in micro-F1; label, value and interval by column numbers."""
    rows = [row for row in table.rows if row[0] == "micro-F1" and row[value] is not None]
    bars = (
        Bar(
            label=", ".join(f"{row[i]} shots" if table.columns[i] == "shots" else str(row[i]) for i in label),
            value=float(row[value] or 0.0),
            low=_or_none(row[low]),
            high=_or_none(row[high]),
        )
        for row in rows
    )
    return Figure(name=table.name, title=table.title, unit=unit, bars=tuple(bars))


def _or_none(cell: Cell) -> float | None:
    return None if cell is None else float(cell)


def _at(found: Found | None, m: int) -> float | None:
    return None if found is None else float(found.mean[m])


def _gain(value: float, over: float) -> float | None:
    return 100 * (value - over) / over if over > 0 else None


def _pairs(sides: Sequence[Side], truth: Side) -> Iterator[tuple[Side, Side]]:
    for i, side in enumerate(sides):
        yield side, truth
        for other in sides[i:]:
            yield side, other

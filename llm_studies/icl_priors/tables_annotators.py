"""Tables of annotators: who is modelled how well, and what the aggregate hides (sections 6, 8.1 and 8.2)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from common.claims.similarity import MEASURES, Measure, between, scores
from common.errors import Invalid
from contracts.studies import Cell, Figure, Table
from llm_studies.icl_priors.annotators import AnnotatorRow, annotator_row, leave_one_out
from llm_studies.icl_priors.config import Config
from llm_studies.icl_priors.items import AGGREGATE
from llm_studies.icl_priors.permutation import Panel, group_gap, relations
from llm_studies.icl_priors.ruler import Ruler, Runs, Side, best_trivial, difference

SHOWN: tuple[Measure, ...] = ("js", "micro_f1")
RATERS = 3
"""Fewest members of a group of annotators whose attribute is shown (section 12)."""


class Voices(NamedTuple):
    """What annotators said and what was predicted for them, on the same texts; by annotator, aggregate included."""

    truths: Mapping[str, np.ndarray]
    posteriors: Mapping[str, Runs]
    """Under prompts with that annotator's labels, at one number of shots."""
    priors: Runs
    """Under the aggregate's prompts, at the same number of shots."""
    groups: Mapping[str, str]


def annotator_tables(shots: int, voices: Voices, config: Config) -> Iterator[Table]:
    """The table of annotators and the tests that stand in place of the papers' correlation."""
    found: dict[Measure, list[AnnotatorRow]] = {measure: _rows(voices, measure) for measure in SHOWN}
    costless = {name: best_trivial(truth, config.shuffles) for name, truth in voices.truths.items()}
    rows: list[tuple[Cell, ...]] = [
        (measure, row.name, row.prior, row.post, row.gain, None if row.gain_percent is None else 100 * row.gain_percent,
         row.aggregate, row.others, costless[row.name][MEASURES.index(measure)])
        for measure, members in found.items() for row in members
    ]  # fmt: skip
    yield Table(
        name="annotators",
        title=f"Annotators at {shots} shots",
        columns=(
            "measure",
            "labels of",
            "prior to them",
            "posterior to them",
            "gain",
            "gain, % (descriptive)",
            "to aggregate",
            "to aggregate of the others",
            "best trivial answer to them",
        ),
        rows=tuple(rows),
        note="The prior is one, made under the aggregate's prompts. An annotator is part of the aggregate: compare "
        "with that of the others.",
    )
    yield _tested(shots, voices, found, config.rounds)
    if table := _groups(voices, config.rounds):
        yield table


def by_label(shots: int, voices: Voices, labels: Sequence[str]) -> Table:
    """Section 6, last lines: where an annotator's gain comes from. F1 of each label, mean over runs."""
    rows: list[tuple[Cell, ...]] = []
    for name, runs in voices.posteriors.items():
        truth = voices.truths[name]
        prior, post = (np.mean([scores(run, truth).label_f1 for run in side], axis=0) for side in (voices.priors, runs))
        rows += [
            (name, label, int(truth[:, i].sum()), float(prior[i]), float(post[i]), float(post[i] - prior[i]))
            for i, label in enumerate(labels)
        ]
    return Table(
        name="annotator_labels",
        title=f"Annotators label by label at {shots} shots (F1)",
        columns=("labels of", "label", "texts with it", "prior to them", "posterior to them", "gain"),
        rows=tuple(rows),
        note="0 where neither has the label. On a label of few texts a gain is mostly chance.",
    )


def paired(shots: int, voices: Voices, ruler: Ruler) -> Table:
    """Prompts with an annotator's labels against prompts with the aggregate's, both judged by the annotator."""
    rows: list[tuple[Cell, ...]] = []
    whole = Side(f"{AGGREGATE} prompts", voices.posteriors[AGGREGATE], shots)
    for name, runs in voices.posteriors.items():
        if name == AGGREGATE:
            continue
        truth = Side(f"labels of {name}", [voices.truths[name]])
        own, other = ruler(Side(f"{name} prompts", runs, shots), truth), ruler(whole, truth)
        if own and other:
            for m, measure in enumerate(SHOWN):
                rows.append((measure, name, float(own.mean[m]), float(other.mean[m]), *difference(own, other, m)))
    rows.sort(key=lambda row: SHOWN.index(str(row[0])))  # pyright: ignore[reportArgumentType]
    return Table(
        name="paired",
        title=f"Own labels against the aggregate's in the demonstrations, {shots} shots, truth: the annotator",
        columns=("measure", "annotator", "own labels shown", "aggregate shown", "difference", "low", "high"),
        rows=tuple(rows),
        note="The same texts everywhere. Above 0: the aggregate hides what this annotator's labels would teach.",
    )


def scatter(shots: int, voices: Voices) -> Figure:
    rows = _rows(voices, "micro_f1")
    return Figure(
        name="annotators",
        title=f"Posterior against prior by annotator, {shots} shots (micro-F1); for tests see the table",
        kind="scatter",
        points=tuple((row.prior, row.post, row.name) for row in rows),
        x_label="prior to the annotator",
        y_label="posterior to the annotator",
    )


def _rows(voices: Voices, measure: Measure) -> list[AnnotatorRow]:
    people = [name for name in voices.posteriors if name != AGGREGATE]
    labels = np.array([voices.truths[name] for name in people])
    others = dict(zip(people, leave_one_out(labels), strict=True)) if len(people) > 1 else {}
    return [
        annotator_row(
            name, voices.truths[name], voices.priors, runs, voices.truths[AGGREGATE], others.get(name), measure=measure
        )
        for name, runs in voices.posteriors.items()
    ]


def _tested(shots: int, voices: Voices, found: Mapping[Measure, Sequence[AnnotatorRow]], rounds: int) -> Table:
    # The prior on the x axis and the one in the gain come from different runs, so that they share no noise.
    *first, last = voices.priors
    panels = {}
    for measure, members in found.items():
        people = [row for row in members if row.name != AGGREGATE]
        post = np.array([row.post for row in people])
        again = _to_each(people, [last], voices, measure) if first else None
        panels[measure] = Panel(_to_each(people, first or [last], voices, measure), post, again)
    note = (
        "p: permutation of posteriors over annotators, each form against its own null (its mean r beside it), Holm "
        "over all rows. The gain in per cent shares the prior with its x axis, so that r near -0.75 means nothing. "
        "Priors of other seeds: the last run on the x axis, the others in the gain."
    )
    try:
        tested = relations(panels, rounds=rounds)
    except Invalid as reason:
        tested, note = (), f"Not tested: {reason.detail}."
    return Table(
        name="relations",
        title=f"Is the gain related to the prior? {shots} shots, in place of the papers' correlation",
        columns=("measure", "form", "r", "mean r of the null", "p", "p (Holm)"),
        rows=tuple((t.panel, t.form, t.r, t.null_r, t.p_value, t.p_holm) for t in tested),
        note=note,
    )


def _to_each(people: Sequence[AnnotatorRow], priors: Runs, voices: Voices, measure: Measure) -> np.ndarray:
    return np.array([between(priors, [voices.truths[row.name]], measure).mean for row in people])


def _groups(voices: Voices, rounds: int) -> Table | None:
    """Is the prior nearer to one group? Only groups of RATERS or more, and only where there are two of them."""
    members: dict[str, list[str]] = {}
    for name in voices.posteriors:
        if name in voices.groups:
            members.setdefault(voices.groups[name], []).append(name)
    large = [group for group, names in members.items() if len(names) >= RATERS]
    if len(large) != 2:
        return None
    left, right = (np.array([voices.truths[name] for name in members[group]]) for group in large)
    gaps = group_gap(voices.priors, left, right, rounds=rounds)
    return Table(
        name="groups",
        title=f"Is the prior nearer to {large[0]} or {large[1]} annotators? ({RATERS} raters or more each)",
        columns=("measure", large[0], large[1], "p", "p (Holm)"),
        rows=tuple((gap.measure, gap.left, gap.right, gap.p_value, gap.p_holm) for gap in gaps),
        note="p: the larger of two permutation tests, as a prior can be neutral in two ways: it knows both groups "
        "alike (their labels exchanged text by text), or neither (the prior shuffled over texts, so that unequal "
        "rates of labels are no finding). Holm over the measures.",
    )

"""The report of a study: every table that its conditions allow, from predictions alone."""

from collections.abc import Iterator, Mapping

import numpy as np

from common.claims.similarity import MEASURES, between, similarity
from contracts.studies import Cell, Figure, StudyReport, Table
from llm_studies.icl_priors import conditions, tables, tables_annotators, tables_pull
from llm_studies.icl_priors.conditions import COT, DISTRIBUTION, ICL, OWN, PROMPT, RANDOM, REPEAT, SHUFFLED, ZERO
from llm_studies.icl_priors.design import ids_digest
from llm_studies.icl_priors.items import AGGREGATE
from llm_studies.icl_priors.outcomes import counted
from llm_studies.icl_priors.parse import STATUSES
from llm_studies.icl_priors.results import Results
from llm_studies.icl_priors.ruler import TITLES, Found, Side


def report(results: Results) -> StudyReport:
    design, account = results.design, results.account
    posterior, prior = results.sides(ICL), results.sides(DISTRIBUTION)
    pulls, without = tables_pull.pulls(
        posterior, prior, results.truths[results.main], design.form.labels, min(1_000, design.config.rounds)
    )
    found = [table for table in _tables(results, posterior, prior) if table.rows]
    if pulls:
        found += [tables_pull.pull(pulls), tables_pull.goodness(pulls)]
    profile = design.config.profile
    return StudyReport(
        study="icl_priors",
        title=f"Task priors on {design.corpus.name}",
        model=profile.model if profile else "",
        scale=_scale(results),
        usage=account.usage,
        calls=account.calls,
        tables=tuple(found),
        figures=tuple(_figures(results, found, pulls)),
        warnings=(*_warnings(results), *without),
    )


def _tables(results: Results, posterior: dict[int, Side], prior: dict[int, Side]) -> Iterator[Table]:
    truth, ruler = results.truth, results.ruler
    yield tables.strength(posterior, prior, truth, ruler)
    yield tables.trivial(results.truths, ruler.shuffles)
    yield from tables.matrices(_by_shots(results), truth, ruler)
    control = _repeat(results)
    flavours = [(k, side) for condition in (OWN, PROMPT) for k, side, _ in results.flavours(condition)]
    plain = [
        (k, side)
        for condition in (ICL, DISTRIBUTION, RANDOM, COT, SHUFFLED)
        for k, side in results.sides(condition).items()
    ]
    yield tables.consistency([*plain, *flavours], control, ruler)
    yield tables.reinforcement(list(_prompts(results)), posterior, truth, ruler)
    yield from _annotators(results, posterior, prior)
    yield _control_table(results, control)
    yield _statuses(results)
    yield _answered(results)
    yield _reference(results, posterior)


def _by_shots(results: Results) -> dict[int, list[Side]]:
    """Sides that are compared with one another: of the same shots, and those without any shots beside each."""
    found: dict[int, list[Side]] = {}
    for condition in (ICL, RANDOM, DISTRIBUTION, COT, SHUFFLED):
        for shots, side in results.sides(condition).items():
            found.setdefault(shots, []).append(side)
    for shots, side, _ in results.flavours(PROMPT):
        found.setdefault(shots, []).append(side)
    alone = list(results.sides(ZERO).values())
    return {k: [*found[k], *alone] for k in sorted(found)} or {0: alone}


def _prompts(results: Results) -> Iterator[tuple[int, Side, Side]]:
    """Each prior prompt beside the run that labelled it."""
    for shots, side, members in results.flavours(PROMPT):
        own = {one.run: one.labels for one in results.of(OWN, shots, AGGREGATE)}
        yield shots, side, Side(OWN, [own[conditions.supplier(run)] for run in members], shots)


def _repeat(results: Results) -> dict[int, Found]:
    """The identical prompt twice, by shots: what the server changes by itself."""
    found = {}
    for one in results.outcomes:
        if one.run.condition == REPEAT:
            run = one.run._replace(condition=ICL, repeat=0)
            first = next(other for other in results.outcomes if other.run == run)
            pair = results.ruler(Side("once", [first.labels], run.shots), Side("again", [one.labels], run.shots))
            if pair:
                found[run.shots] = pair
    return found


def _control_table(results: Results, control: dict[int, Found]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for shots, pair in control.items():
        again = next(one for one in results.outcomes if one.run.condition == REPEAT)
        first = next(one for one in results.outcomes if one.run == again.run._replace(condition=ICL, repeat=0))
        flips = float((first.labels != again.labels).any(1).mean())
        rows.append((shots, flips, *(float(pair.mean[m]) for m in range(len(MEASURES)))))
    return Table(
        name="repeat",
        title="Repeat control: the identical prompt twice",
        columns=("shots", "share of texts with other labels", *TITLES),
        rows=tuple(rows),
        note="Above 0, differences between runs are partly the server's own.",
    )


def _annotators(results: Results, posterior: dict[int, Side], prior: dict[int, Side]) -> Iterator[Table]:
    voices = _voices(results, posterior, prior)
    if voices is None:
        return
    shots, said = voices
    yield from tables_annotators.annotator_tables(shots, said, results.design.config)
    yield tables_annotators.by_label(shots, said, results.design.form.labels)
    yield tables_annotators.paired(shots, said, results.ruler)


def _voices(
    results: Results, posterior: dict[int, Side], prior: dict[int, Side]
) -> tuple[int, tables_annotators.Voices] | None:
    """At the most shots; only with several annotators, their aggregate and a prior."""
    names, shots = results.design.config.data.annotators, max(posterior, default=0)
    if AGGREGATE not in names or len(names) < 2 or shots not in prior:
        return None
    posteriors = {name: [one.labels for one in results.of(ICL, shots, name)] for name in names}
    return shots, tables_annotators.Voices(results.truths, posteriors, prior[shots].runs, results.design.corpus.groups)


def _statuses(results: Results) -> Table:
    return Table(
        name="statuses",
        title="How replies were read",
        columns=(
            "condition",
            "labels of",
            "shots",
            "replies",
            *STATUSES,
            "share without an answer",
            "substring rule differs",
        ),
        rows=tuple(counted(results.outcomes)),
        note="A reply without an answer is scored as the empty set; it is not one. Substring rule: the papers' parser, "
        "which reads joy in enjoy and anger in no anger; so many replies it reads otherwise.",
    )


def _answered(results: Results) -> Table:
    """Similarity to the truth where every run of a condition has an answer."""
    rows: list[tuple[Cell, ...]] = []
    truth = results.truths[results.main]
    for condition in (ICL, ZERO, RANDOM, DISTRIBUTION, PROMPT, COT, SHUFFLED):
        for shots in results.sides(condition):
            members = results.of(condition, shots, results.main if condition in (ICL, COT, SHUFFLED) else AGGREGATE)
            kept = np.all([one.answered for one in members], axis=0)
            if kept.any():
                runs = [one.labels[kept] for one in members]
                scores = (between(runs, [truth[kept]], m).mean for m in MEASURES)
                rows.append((condition, shots, int(kept.sum()), len(kept), *scores))
    return Table(
        name="answered",
        title="Similarity to the truth without texts that some run of the condition did not answer",
        columns=("condition", "shots", "texts", "of", *TITLES),
        rows=tuple(rows),
    )


def _reference(results: Results, posterior: dict[int, Side]) -> Table:
    """The gap to a supervised model on the same texts."""
    rows: list[tuple[Cell, ...]] = []
    if results.reference is not None:
        supervised = Side("supervised", [results.reference])
        for m, measure in enumerate(TITLES):
            level = similarity(results.reference, results.truths[results.main], MEASURES[m])
            for shots, side in posterior.items():
                gap = tables.difference(results.ruler(supervised, results.truth), results.ruler(side, results.truth), m)
                rows.append((measure, shots, level, *gap))
    return Table(
        name="reference",
        title="Gap to the supervised reference: its similarity to the truth minus that of the posterior",
        columns=("measure", "shots", "supervised", "gap", "low", "high"),
        rows=tuple(rows),
    )


def _figures(results: Results, found: list[Table], pulls: Mapping[int, tables_pull.Pull]) -> Iterator[Figure]:
    by_name = {table.name: table for table in found}
    if "strength" in by_name:
        yield tables.dots(by_name["strength"], label=(1,), value=4, low=5, high=6, unit="to prior minus to truth")
    if "consistency" in by_name:
        yield tables.dots(by_name["consistency"], label=(1, 2), value=3, low=6, high=7, unit="micro-F1")
    if pulls:
        yield tables_pull.figure(pulls)
    if voices := _voices(results, results.sides(ICL), results.sides(DISTRIBUTION)):
        yield tables_annotators.scatter(*voices)


def _warnings(results: Results) -> Iterator[str]:
    limit = results.design.config.limits.invalid
    for row in counted(results.outcomes):
        lost = float(row[-2])
        if lost > limit:
            where = f"{row[0]}, labels of {row[1]}, {row[2]} shots"
            yield f"{where}: {lost:.1%} of the replies have no answer (limit {limit:.1%})"
    for shots, pair in _repeat(results).items():
        if pair.mean[0] < 1:
            yield f"the server answers one prompt in two ways ({shots} shots): differences of runs are partly its own"


def _scale(results: Results) -> str:
    grid, design = results.grid, results.design
    return (
        f"{len(design.queries)} texts of {design.corpus.name} (data {design.corpus.sha256[:12]}, ids "
        f"{ids_digest(design.queries)[:12]}), labels of {', '.join(design.config.data.annotators)}; conditions "
        f"{', '.join(grid.conditions)}; shots {', '.join(map(str, grid.shots))}; "
        f"seeds {', '.join(map(str, grid.seeds))}; {grid.retrieval} retrieval; greedy. "
        "Seeds are no sample of texts: intervals are over texts, and over both."
    )

"""The report of a study, from its replies alone: tables with intervals, figures, and what to be careful about."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from common.claims.statistics import holm, wilson_interval
from contracts.studies import Bar, Cell, Figure, StudyReport, Table
from llm_studies.bloomwise.attempt import total
from llm_studies.bloomwise.baselines import Trial
from llm_studies.bloomwise.config import Config
from llm_studies.bloomwise.levels import level_tables
from llm_studies.bloomwise.measured import Measured, right
from llm_studies.bloomwise.repeats import repeat_table
from llm_studies.bloomwise.statistics import noise, paired
from llm_studies.llm.account import Account

FEW = 0.05
"""Half interval of an accuracy above which the report says that there are too few items."""


def report(config: Config, measured: Mapping[str, Measured], account: Account) -> StudyReport:
    """Everything that is known of every set."""
    parts = [(name, _subset(name, one)) for name, one in measured.items()]
    sets = {label: one for name, subsets in parts for label, one in subsets.items()}
    main = next(iter(config.ladders))
    tables = [table for label, one in sets.items() for table in _tables(config, label, one, main)]
    figures = [figure for label, one in sets.items() for figure in _figures(label, one)]
    items = ", ".join(f"{len(one.problems)} of {name}" for name, one in measured.items())
    return StudyReport(
        study="bloomwise",
        title="BloomWise and its baselines",
        model=", ".join(sorted(account.models - {""})) or (config.profile.model if config.profile else ""),
        scale=(
            f"Problems: {items}. Ladders: {', '.join(config.ladders)}; every level was asked, rules are replayed. "
            f"Temperature {config.decoding.temperature:g}. The prompts are our own; no figure is the paper's."
        ),
        usage=account.usage,
        calls=account.calls,
        tables=tuple(tables),
        figures=tuple(figures),
        warnings=tuple(_warnings(config, measured)),
    )


def _subset(name: str, one: Measured) -> dict[str, Measured]:
    """The set, and for GSM-hard also its problems with gold >= 0: many negative golds make no sense in their story."""
    kept = [i for i, problem in enumerate(one.problems) if not problem.gold.startswith("-")]
    if name != "gsm_hard" or not kept:
        return {name: one}
    part = Measured(
        tuple(one.problems[i] for i in kept),
        one.demos,
        {key: [runs[i] for i in kept] for key, runs in one.ladders.items()},
        {key: [trials[i] for i in kept] for key, trials in one.trials.items()},
    )
    return {name: one, f"{name}-nonnegative": part}


def _tables(config: Config, label: str, one: Measured, main: str) -> Iterator[Table]:
    yield _methods(label, one)
    yield _paired(config, label, one, main)
    for name, ladder in config.ladders.items():
        yield from level_tables(label, name, ladder, one)
    yield from _failures(label, one)
    if one.repeats:
        yield repeat_table(label, one.repeats)


def _methods(label: str, one: Measured) -> Table:
    demos = ", ".join(demo.id for demo in one.demos) if "few_shot" in one.trials else ""
    half = 100 * noise(len(one.problems))
    return Table(
        name=f"methods-{label}",
        title=f"Methods on {label}",
        columns=(
            "method", "n", "accuracy, %", "low", "high", "strict, %", "no answer, %", "cut off, %", "calls per problem",
            "prompt tokens per problem", "completion tokens per problem",
        ),
        rows=tuple(_method(name, trials, one) for name, trials in one.trials.items()),
        note=(
            f"Accuracy: flexible extraction, 95 % Wilson interval. With {len(one.problems)} items an accuracy near "
            f"50 % is known to +-{half:.1f} points: smaller unpaired differences are noise."
            + (f" Few-shot demonstrations: {demos}." if demos else "")
        ),
    )  # fmt: skip


def _method(name: str, trials: Sequence[Trial], one: Measured) -> tuple[Cell, ...]:
    n, solved = len(trials), int(right(trials, one).sum())
    interval = wilson_interval(solved, n)
    usage = total(trial.usage for trial in trials)
    return (
        name,
        n,
        100 * solved / n,
        100 * interval.low,
        100 * interval.high,
        100 * float(right(trials, one, strict=True).mean()),
        100 * _silent(trials),
        100 * _cut(trials),
        sum(trial.calls for trial in trials) / n,
        usage.prompt_tokens / n,
        usage.completion_tokens / n,
    )


def _silent(trials: Sequence[Trial]) -> float:
    return sum(trial.answer is None for trial in trials) / len(trials)


def _cut(trials: Sequence[Trial]) -> float:
    return sum(any(attempt.truncated for attempt in trial.attempts) for trial in trials) / len(trials)


def _paired(config: Config, label: str, one: Measured, main: str) -> Table:
    rng = np.random.default_rng(config.bootstrap.seed)
    first = right(one.trials[main], one)
    found = {
        name: paired(first, right(trials, one), rng, config.bootstrap.rounds)
        for name, trials in one.trials.items()
        if name != main
    }
    adjusted = holm([pair.p for pair in found.values()])
    return Table(
        name=f"paired-{label}",
        title=f"{main} against the others on {label}",
        columns=("other", "n", "difference, points", "low", "high", f"only {main}", "only other", "p", "p (Holm)"),
        rows=tuple(
            (
                name, pair.n, 100 * pair.difference, 100 * pair.interval.low, 100 * pair.interval.high,
                pair.only_one, pair.only_other, pair.p, p,
            )
            for (name, pair), p in zip(found.items(), adjusted, strict=True)
        ),
        note=(
            f"On the same items: bootstrap over items ({config.bootstrap.rounds} resamples), exact McNemar test, "
            "adjusted over this table. Only at equal calls are methods compared: see self_consistency_matched."
        ),
    )  # fmt: skip


def _failures(label: str, one: Measured) -> Iterator[Table]:
    """Why programmes gave no answer, where there are any."""
    runs: dict[str, list[str | None]] = {
        name: [attempt.failure for attempts in ladder for attempt in attempts] for name, ladder in one.ladders.items()
    }
    runs |= {
        name: [attempt.failure for trial in trials for attempt in trial.attempts]
        for name, trials in one.trials.items()
        if name not in one.ladders
    }
    kinds = sorted({failure for failures in runs.values() for failure in failures if failure})
    if kinds:
        yield Table(
            name=f"programmes-{label}",
            title=f"Programmes without an answer on {label}",
            columns=("method", "attempts", *kinds),
            rows=tuple(
                (name, len(failures), *(failures.count(kind) for kind in kinds))
                for name, failures in runs.items()
                if any(failures)
            ),
            note="Attempts of all levels, whether or not the rule needed them.",
        )


def _figures(label: str, one: Measured) -> Iterator[Figure]:
    rows = {name: _method(name, trials, one) for name, trials in one.trials.items()}
    yield Figure(
        name=f"accuracy-{label}",
        title=f"Accuracy on {label}",
        unit="%, with 95 % interval",
        bars=tuple(
            Bar(label=name, value=float(row[2] or 0), low=float(row[3] or 0), high=float(row[4] or 0))
            for name, row in rows.items()
        ),
    )
    yield Figure(
        name=f"cost-{label}",
        title=f"What accuracy costs on {label}",
        kind="scatter",
        points=tuple((float(row[8] or 0), float(row[2] or 0), name) for name, row in rows.items()),
        x_label="calls per problem",
        y_label="accuracy, %",
    )


def _warnings(config: Config, measured: Mapping[str, Measured]) -> Iterator[str]:
    limit = config.limits.invalid
    if config.sampling.temperature == 0 and any(name.startswith("self_consistency") for name in config.methods):
        yield "Self-consistency repeats its calls at temperature 0: its samples are one sample, counted several times."
    for label, one in measured.items():
        if noise(len(one.problems)) > FEW:
            yield (
                f"{label}: {len(one.problems)} items show only differences above {100 * noise(len(one.problems)):.0f} "
                "points or so; take more."
            )
        if flips := sum(pair.text for pair in one.repeats):
            yield (
                f"{label}: the server answers one request in two ways at temperature 0 ({flips} of {len(one.repeats)} "
                f"replies, {sum(pair.answer for pair in one.repeats)} answers): differences of runs are partly its own."
            )
        for name, trials in one.trials.items():
            if (share := _silent(trials)) > limit:
                yield f"{label}, {name}: {100 * share:.1f} % of problems have no answer; look at the replies first."
            if (share := _cut(trials)) > limit:
                yield f"{label}, {name}: replies to {100 * share:.1f} % of problems were cut off; allow more tokens."

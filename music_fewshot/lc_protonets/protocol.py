"""The paper's evaluation: test episodes from base, novel or all tags, under every decision rule (specification, 1.7,
1.8, 1.12).

Macro-F1 is the mean over tags, micro-F1 pools all cells. ``all_ones`` names every tag for every clip: a rule that is
not above it has found out nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

import numpy as np

from common.claims.statistics import student_interval
from common.errors import OperatorError
from contracts._base import Positive, Record
from contracts.models import Interval
from contracts.music_fewshot import Decision, Rule
from music_fewshot.lc_protonets.closed import multiplicities
from music_fewshot.lc_protonets.config import Evaluation
from music_fewshot.lc_protonets.episodes import Draws, Pool, TagChoice, evaluation_tags, test_episode
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.metrics import F1, f1
from music_fewshot.lc_protonets.rules import decide

RULES: tuple[Rule, ...] = get_args(Rule)
ALL_ONES, NEAREST = "all_ones", "nearest"
"""Controls: every tag for every clip; and the tags of the support item with the largest cosine."""


class Tags(NamedTuple):
    """The tags that a split can be asked for."""

    columns: np.ndarray
    """int64: of the truth table"""
    base: int
    """So many of the first ones are base tags."""


class Task(NamedTuple):
    choice: TagChoice
    ways: int


class Scored(NamedTuple):
    """One test episode."""

    rules: dict[str, F1]
    """By the rule's name, and the two controls."""
    support: int
    queries: int
    combinations: int
    closed_sets: int
    exact: bool
    """False where there were too many closed sets; ``combinations`` then counts less than all."""


class RuleFigures(Record, frozen=True, kw_only=True):
    """One rule in the episodes of one task; one figure for each seed, in their order."""

    rule: str
    macro_f1: tuple[float, ...]
    micro_f1: tuple[float, ...]
    predicted: tuple[float, ...]
    """Mean number of tags told of a clip."""
    macro_interval: Interval
    """Over the episodes of one network, which share their clips: not over trainings."""
    micro_interval: Interval


class TaskFigures(Record, frozen=True, kw_only=True):
    """The episodes of one task; one figure for each seed, in their order."""

    choice: TagChoice
    ways: Positive
    true: tuple[float, ...]
    """Mean number of these tags on a query clip."""
    support: tuple[int, ...]
    queries: tuple[int, ...]
    combinations: tuple[str, ...]
    """Exact; decimal text, because it may not fit a number of JSON."""
    closed_sets: tuple[int, ...]
    exact: bool
    rules: tuple[RuleFigures, ...]


def usable_tags(truth: np.ndarray, base: int, shots: int) -> Tags:
    """Those that leave a query beside ``shots`` support items; the first ``base`` columns of ``truth`` are base tags.

    Raises OperatorError where there is none.
    """
    columns = np.flatnonzero(truth.sum(0) > shots)
    if not len(columns):
        raise OperatorError(f"no tag has more than {shots} items to be tested on; lower evaluation.shots")
    return Tags(columns, int((columns < base).sum()))


def tasks(tags: Tags, ways: Sequence[int]) -> tuple[Task, ...]:
    """Base, novel and both tags: with each number of ways that there are tags for, and with all tags."""
    total = len(tags.columns)
    most: dict[TagChoice, int] = {"base": tags.base, "novel": total - tags.base, "both": total}
    return tuple(
        Task(choice, n)
        for choice, limit in most.items()
        for n in sorted({n for n in (*ways, limit) if _possible(tags, Task(choice, n))})
    )


def episode_figures(
    embeddings: np.ndarray, truth: np.ndarray, tags: Tags, task: Task, *, shots: int, seed: int
) -> Scored:
    """Draw the seed's episode and score every rule on it. ``embeddings`` (n, D) and ``truth`` bool (n, all tags) are
    those of one split."""
    chosen = tags.columns[list(evaluation_tags(len(tags.columns), tags.base, task.ways, task.choice))]
    episode = test_episode(Pool(truth, chosen.tolist()), shots=shots, draws=Draws(seed))
    index = TagIndex.build(embeddings[episode.support], episode.support_sets, task.ways, degrade=True)
    queries = embeddings[episode.query]
    told = {rule: decide(index, queries, Decision(rule=rule)).chosen for rule in RULES}
    told[ALL_ONES] = np.ones_like(episode.query_labels)
    told[NEAREST] = episode.support_labels[nearest_items(embeddings[episode.support], queries)]
    return Scored(
        rules={rule: f1(episode.query_labels, chosen) for rule, chosen in told.items()},
        support=len(episode.support),
        queries=len(episode.query),
        combinations=sum(multiplicities(index.sets)),
        closed_sets=len(index.sets),
        exact=index.exact,
    )


def nearest_items(support: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """int64 (Q,): the row of ``support`` (S, D) with the largest cosine to each query (Q, D), the first of equal ones.

    An embedding of zeros has the cosine 0 to everything.
    """
    lengths = np.linalg.norm(support, axis=1)
    return (queries @ (support / np.where(lengths > 0, lengths, 1)[:, None]).T).argmax(1)


def all_figures(embeddings: np.ndarray, truth: np.ndarray, base: int, options: Evaluation) -> Iterator[TaskFigures]:
    """Every task with every seed. Raises OperatorError where no tag can be tested."""
    tags = usable_tags(truth, base, options.shots)
    for task in tasks(tags, options.ways):
        scored = [
            episode_figures(embeddings, truth, tags, task, shots=options.shots, seed=seed) for seed in options.seeds
        ]
        yield TaskFigures(
            choice=task.choice,
            ways=task.ways,
            true=tuple(one.rules[ALL_ONES].true for one in scored),
            support=tuple(one.support for one in scored),
            queries=tuple(one.queries for one in scored),
            combinations=tuple(str(one.combinations) for one in scored),
            closed_sets=tuple(one.closed_sets for one in scored),
            exact=all(one.exact for one in scored),
            rules=tuple(_rule(name, [one.rules[name] for one in scored]) for name in (*RULES, ALL_ONES)),
        )


def _possible(tags: Tags, task: Task) -> bool:
    try:
        evaluation_tags(len(tags.columns), tags.base, task.ways, task.choice)
    except OperatorError:
        return False
    return True


def _rule(name: str, scored: Sequence[F1]) -> RuleFigures:
    macro, micro = tuple(one.macro for one in scored), tuple(one.micro for one in scored)
    return RuleFigures(
        rule=name,
        macro_f1=macro,
        micro_f1=micro,
        predicted=tuple(one.predicted for one in scored),
        macro_interval=student_interval(np.array(macro)),
        micro_interval=student_interval(np.array(micro)),
    )

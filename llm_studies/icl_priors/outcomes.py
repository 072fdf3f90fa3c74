"""Replies of a run as predictions, with what each reply was worth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from contracts.llm import Reply
from contracts.studies import LabelPrediction
from llm_studies.icl_priors.conditions import Run
from llm_studies.icl_priors.design import Design
from llm_studies.icl_priors.draws import below
from llm_studies.icl_priors.items import Item, Vector
from llm_studies.icl_priors.parse import STATUSES, Parsed, legacy, parse
from llm_studies.icl_priors.prompts import Form
from llm_studies.llm.ask import Ask
from llm_studies.llm.plan import worst


class Outcome(NamedTuple):
    """A run's predictions for the queries."""

    run: Run
    labels: np.ndarray
    """bool (queries, labels)"""
    statuses: tuple[str, ...]
    answered: np.ndarray
    """bool (queries,). A reply without an answer is scored as the empty set, as in the papers, and counted apart."""
    legacy: np.ndarray
    """By the papers' substring rule, bool (queries, labels)."""


def read(form: Form, reply: Reply, *, reasons: bool = False) -> Parsed:
    return parse(reply.text, form.labels, finish=reply.finish, header=form.header, reasoning=reasons)


def cells(parsed: Parsed, form: Form) -> Vector:
    return tuple(label in parsed.labels for label in form.labels)


async def outcome(design: Design, run: Run, replay: Ask, predictions: Mapping[str, Vector] | None = None) -> Outcome:
    """The run's predictions for the queries. Raises Missing where a reply was never given."""
    replies = [await replay(design.request(run, item, predictions), run.repeat) for item in design.queries]
    form, reasons = design.form, run.kind.reasons
    parsed = [read(form, reply, reasons=reasons) for reply in replies]
    by_substring = [legacy(reply.text, form.labels, header=form.header, reasoning=reasons) for reply in replies]
    return Outcome(
        run=run,
        labels=np.array([cells(one, form) for one in parsed]),
        statuses=tuple(one.status for one in parsed),
        answered=np.array([one.answered for one in parsed]),
        legacy=np.array([[label in found for label in form.labels] for found in by_substring]),
    )


async def own_predictions(design: Design, run: Run, replay: Ask) -> dict[str, Vector]:
    """What an own-prior run says of the texts that prior prompts show; no answer counts as no label.

    In a plan it is the worst case: prompts that are long, and of which no two runs' are one call.
    """
    found: dict[str, Vector] = {}
    for item in design.shown:
        reply = await replay(design.request(run, item), run.repeat)
        planned = reply == worst(design.config.grid.max_tokens)
        most = _most_labels(len(design.form.labels), run.id, item.id)
        found[item.id] = most if planned else cells(read(design.form, reply), design.form)
    return found


async def prediction(
    design: Design, run: Run, item: Item, replay: Ask, predictions: Mapping[str, Vector] | None = None
) -> LabelPrediction:
    """One line of the table of predictions. Raises Missing where the reply was never given."""
    reply = await replay(design.request(run, item, predictions), run.repeat)
    parsed = read(design.form, reply, reasons=run.kind.reasons)
    return LabelPrediction(
        item=item.id,
        annotator=run.annotator,
        condition=run.condition,
        shots=run.shots,
        seed=run.seed,
        label_seed=run.label_seed,
        labels=parsed.labels,
        status=parsed.status,
        usage=reply.usage,
    )


def _most_labels(labels: int, *names: object) -> Vector:
    """All labels but one, or all."""
    off = below(labels + 1, "plan", *names)
    return tuple(label != off for label in range(labels))


def counted(outcomes: Sequence[Outcome]) -> list[tuple[str | int | float, ...]]:
    """Per condition, annotator and shots: replies, count of each status, share unanswered, legacy differences."""
    groups: dict[tuple[str, str, int], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.run.condition, one.run.annotator, one.run.shots), []).append(one)
    rows = []
    for key, members in groups.items():
        seen = Counter(status for one in members for status in one.statuses)
        differ = sum(int((one.labels != one.legacy).any(1).sum()) for one in members)
        lost = sum(int((~one.answered).sum()) for one in members)
        rows.append((*key, seen.total(), *(seen[status] for status in STATUSES), lost / seen.total(), differ))
    return rows

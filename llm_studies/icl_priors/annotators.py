"""Annotators, their aggregate, and who a model agrees with (arXiv 2410.13776; specification, sections 6 and 8.2)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.claims.similarity import Measure, between, similarity
from common.errors import Invalid
from llm_studies.icl_priors.items import at_least_half


class AnnotatorRow(NamedTuple):
    """One annotator, or the aggregate as one more, under one measure."""

    name: str
    prior: float
    """sim(prior, f_a): the prior is the same for all, made under the aggregate's prompts."""
    post: float
    """sim(posterior under prompts with a's labels, f_a)."""
    gain: float
    """post - prior."""
    gain_percent: float | None
    """(post - prior) / prior; descriptive only, see ``permutation``. None for a prior similarity of 0."""
    aggregate: float
    """sim(f_a, f_agg), the annotator being part of the aggregate."""
    others: float | None
    """sim(f_a, aggregate of all others). None for a row that is no annotator of the group."""


def leave_one_out(labels: np.ndarray) -> np.ndarray:
    """For each annotator the aggregate of all others, (annotators, items, labels). Raises Invalid for only one."""
    if len(labels) < 2:
        raise Invalid("an aggregate of the others needs at least two annotators")
    return np.stack([at_least_half(np.delete(labels, a, axis=0)) for a in range(len(labels))])


def annotator_row(
    name: str,
    truth: np.ndarray,
    priors: Sequence[np.ndarray],
    posteriors: Sequence[np.ndarray],
    aggregate: np.ndarray,
    others: np.ndarray | None = None,
    *,
    measure: Measure = "js",
) -> AnnotatorRow:
    """``truth``, ``aggregate``, ``others`` are (items, labels); ``priors`` and ``posteriors`` are runs of that shape.

    Similarities are means over runs. Raises Invalid when shapes differ or a condition has no run.
    """
    prior = between(priors, [truth], measure).mean
    post = between(posteriors, [truth], measure).mean
    return AnnotatorRow(
        name=name,
        prior=prior,
        post=post,
        gain=post - prior,
        gain_percent=(post - prior) / prior if prior > 0 else None,
        aggregate=similarity(truth, aggregate, measure),
        others=None if others is None else similarity(truth, others, measure),
    )


def pairwise(labels: np.ndarray, measure: Measure = "micro_f1") -> np.ndarray:
    """Similarity of every two annotators, float64 (annotators, annotators)."""
    return np.array([[similarity(a, b, measure) for b in labels] for a in labels])


def unanimous(labels: np.ndarray) -> np.ndarray:
    """Items on which all annotators give the same set, bool (items,)."""
    return (labels == labels[:1]).all((0, 2))

"""Is the gain related to the prior? Tests in place of a correlation that is an artefact (section 8.1).

The papers plot the gain (post - prior) / prior against prior: both axes hold the same noisy number, so that with no
relation whatever r is about -0.75 and most panels look significant. Here every form of the question is referred to its
own null, made by shuffling posteriors over annotators and computing the form again.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from common.claims.similarity import MEASURES, Measure, item_parts, measures
from common.claims.statistics import holm, student_quantile
from common.errors import Invalid

EXACT = 8
"""Up to this many annotators all orders are enumerated (8! = 40,320); above, they are drawn."""
HEURISTIC = 0.15
"""The p value at which the papers' script puts its star; kept to show what it flags."""
TESTED = [MEASURES.index("js"), MEASURES.index("micro_f1")]
"""What ``group_gap`` compares groups by."""
Form = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Panel(NamedTuple):
    """One plot of annotators, each array (annotators,)."""

    prior: np.ndarray
    post: np.ndarray
    prior_again: np.ndarray | None = None
    """From other seeds than ``prior``: shares no noise with it."""


class Relation(NamedTuple):
    """One form of the question on one panel."""

    panel: str
    form: str
    r: float
    """Pearson."""
    null_r: float
    """Its mean over the shuffles: what no relation looks like."""
    p_value: float
    p_holm: float
    """Over all forms of all panels."""


class Artefact(NamedTuple):
    """What the papers' recipe sees where there is no relation."""

    annotators: int
    mean_r: float
    flagged: float
    """Share with p <= HEURISTIC by the t test."""


class Gap(NamedTuple):
    """How near a prior is to two groups of annotators."""

    measure: Measure
    left: float
    right: float
    p_value: float
    p_holm: float
    """Over the measures."""


def pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Correlation along the last axis; 0 where one side does not vary."""
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    scale = np.sqrt((x * x).sum(-1) * (y * y).sum(-1))
    return np.divide((x * y).sum(-1), scale, out=np.zeros(np.shape(scale)), where=scale > 0)


def critical_r(annotators: int, level: float = HEURISTIC) -> float:
    """The |r| whose two-sided t test of ``annotators`` points has p = ``level``; needs at least 3 points."""
    t = student_quantile(1 - level / 2, annotators - 2)
    return t / np.sqrt(annotators - 2 + t * t)


def gain_percent(prior: np.ndarray, post: np.ndarray) -> np.ndarray:
    """(post - prior) / prior, in the papers' script."""
    return (post - prior) / prior


def unrelated(annotators: int, studies: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Prior and post (studies, annotators) of section 8.1: independent, means 0.45 and 0.55, SD 0.08, noise 0.03."""
    means = np.array([0.45, 0.55])[:, None, None]
    true = rng.normal(means, 0.08, size=(2, studies, annotators))
    prior, post = true + rng.normal(0.0, 0.03, size=true.shape)
    return prior, post


def artefact(annotators: int, *, studies: int = 20_000, seed: int = 0) -> Artefact:
    """The papers' recipe on unrelated priors and posteriors."""
    prior, post = unrelated(annotators, studies, np.random.default_rng(seed))
    r = pearson(prior, gain_percent(prior, post))
    return Artefact(annotators, float(r.mean()), float(np.mean(np.abs(r) >= critical_r(annotators))))


def relations(panels: Mapping[str, Panel], *, rounds: int = 10_000, seed: int = 0) -> tuple[Relation, ...]:
    """Every form on every panel, with permutation p values, exact for up to EXACT annotators, and Holm's adjustment.

    Two-sided: twice the smaller tail, as these nulls are neither centred on 0 nor symmetric. Raises Invalid for fewer
    than three annotators, unequal lengths, or a prior similarity of 0, of which no share can be gained.
    """
    rng = np.random.default_rng(seed)
    found: list[Relation] = []
    for name, panel in panels.items():
        prior, post = _checked(name, panel)
        shuffled, exact = orders(len(post), rounds, rng)
        found += [
            _relation(name, form, read, prior, post, shuffled, exact) for form, read in forms(panel.prior_again).items()
        ]
    return tuple(r._replace(p_holm=p) for r, p in zip(found, holm([r.p_value for r in found]), strict=True))


def forms(prior_again: np.ndarray | None) -> dict[str, Form]:
    """The x and y that each form correlates, from prior and post (..., annotators)."""
    found: dict[str, Form] = {
        "post against prior": lambda prior, post: (prior, post),
        "gain % against prior (descriptive)": lambda prior, post: (prior, gain_percent(prior, post)),
        # Oldham 1962: the mean of both shares their noise with the gain in opposite directions, which cancels.
        "gain against mean of both (Oldham)": lambda prior, post: ((prior + post) / 2, post - prior),
    }
    if prior_again is not None:
        found["gain % against prior of other seeds"] = lambda prior, post: (prior_again, gain_percent(prior, post))
    return found


def orders(annotators: int, rounds: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Ways to hand posteriors to annotators, (ways, annotators), and whether these are all."""
    if annotators <= EXACT:
        return np.array(list(permutations(range(annotators)))), True
    return rng.permuted(np.tile(np.arange(annotators), (rounds, 1)), axis=1), False


def group_gap(
    priors: Sequence[np.ndarray], left: np.ndarray, right: np.ndarray, *, rounds: int = 10_000, seed: int = 0
) -> tuple[Gap, ...]:
    """Is the prior nearer to one group's labels? By JS and micro-F1, with Holm's adjustment over the two.

    ``priors`` are runs (items, labels), ``left`` and ``right`` (annotators, items, labels). Items carry this test, as
    six annotators allow too few shuffles. A prior can be neutral in two ways, and p is the larger of both tests: it
    knows both groups alike, so that swapping their labels item by item makes no difference; or it knows neither, so
    that shuffling it over items makes none, whatever the groups' label rates are (a prior that says nothing is near to
    whoever says little).
    """
    rng = np.random.default_rng(seed)
    sides = [_mean_parts(priors, group) for group in (left, right)]
    items = len(sides[0])
    seen = np.stack([measures(side.sum(0), items)[TESTED] for side in sides])
    swaps = rng.choice(np.array([-1.0, 1.0]), size=(rounds, items))
    total, half = (sides[0] + sides[1]).sum(0) / 2, (sides[1] - sides[0]) / 2
    swapped = measures(total + swaps @ half, items) - measures(total - swaps @ half, items)
    order = rng.permuted(np.tile(np.arange(items), (rounds, 1)), axis=1)
    shuffled = shuffled_measures(priors, right, order) - shuffled_measures(priors, left, order)
    gap = seen[1] - seen[0]
    p = [max(_two_sided(swapped[:, m], gap[i]), _two_sided(shuffled[:, i], gap[i])) for i, m in enumerate(TESTED)]
    return tuple(
        Gap(MEASURES[m], float(seen[0, i]), float(seen[1, i]), p[i], adjusted)
        for i, (m, adjusted) in enumerate(zip(TESTED, holm(p), strict=True))
    )


def shuffled_measures(priors: Sequence[np.ndarray], group: np.ndarray, order: np.ndarray) -> np.ndarray:
    """JS and micro-F1 of ``group`` with priors whose items are reordered; (rounds, 2) from order (rounds, items).

    From the similarity of every prior item with every labelled one, float32 (items, items): each round only looks up.
    """
    items = order.shape[1]
    js, hits = np.zeros((2, items, items), dtype=np.float32)
    for prior, labels in product(np.asarray(priors, np.float32), np.asarray(group, np.float32)):
        both = prior @ labels.T
        either = prior.sum(1)[:, None] + labels.sum(1) - both
        js += np.where(either == 0, 1.0, both / np.maximum(either, 1))
        hits += both
    pairs = len(priors) * len(group)
    sizes = np.sum(priors) / len(priors) + group.sum() / len(group)
    found = [part[order, np.arange(items)].sum(1) / pairs for part in (js, hits)]
    return np.stack([found[0] / items, 2 * found[1] / max(sizes, 1.0)], axis=1)


def _mean_parts(priors: Sequence[np.ndarray], group: np.ndarray) -> np.ndarray:
    return np.mean([item_parts(prior, labels) for prior in priors for labels in group], axis=0)


def _relation(
    panel: str, form: str, read: Form, prior: np.ndarray, post: np.ndarray, shuffled: np.ndarray, exact: bool
) -> Relation:
    seen = float(pearson(*read(prior, post)))
    null = pearson(*np.broadcast_arrays(*read(prior, post[shuffled])))
    tail = min((null <= seen + 1e-12).mean(), (null >= seen - 1e-12).mean())
    p = min(1.0, 2 * float(tail)) if exact else _two_sided(null, seen)
    return Relation(panel, form, seen, float(null.mean()), p, 1.0)


def _two_sided(null: np.ndarray, seen: float) -> float:
    """Twice the smaller tail of drawn values; never 0 (Phipson and Smyth 2010)."""
    further = min((null <= seen + 1e-6).sum(), (null >= seen - 1e-6).sum())
    return min(1.0, 2 * float(further + 1) / (len(null) + 1))


def _checked(name: str, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    sides = [np.asarray(side, np.float64) for side in panel if side is not None]
    if len(sides[0]) < 3 or any(side.shape != sides[0].shape or side.ndim != 1 for side in sides):
        raise Invalid(f"{name}: prior and post are one number for each of at least three annotators")
    if (sides[0] <= 0).any():
        raise Invalid(f"{name}: an annotator's prior similarity is 0, of which no share can be gained; leave it out")
    return sides[0], sides[1]

"""Leave-one-out: each support item tagged by the index without it, as if that had been built anew.

Nothing is enumerated again: what is closed without an item was closed with it. A set that no longer is has the
prototype of a larger one and loses the tie, and one whose only items left is gone.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from common.errors import Invalid
from contracts.music_fewshot import Decision
from music_fewshot.lc_protonets.closed import bits, extents, membership, multi_hot
from music_fewshot.lc_protonets.held_out import LOST, label_cosines, without
from music_fewshot.lc_protonets.index import CHUNK, TIE, UNSUPPORTED, TagIndex
from music_fewshot.lc_protonets.rules import Decided, above, best, centred_scores, loo_threshold, rounded_mean


class Part(NamedTuple):
    """Some of the support items."""

    items: np.ndarray
    """int64 (P,)"""
    similarities: np.ndarray
    """float64 (P, C): cosines to the prototypes that are formed without the item; ``LOST`` where nothing is left"""


def leave_one_out(index: TagIndex, decision: Decision) -> Decided:
    """Decide each of the S support items without it; ``k`` and ``threshold`` are those given, as others differ by row.

    A tag that only the item itself carries is never told. A degraded index stays degraded without an item. For S items,
    C sets and L tags the cost is S * C or S * L products; of a threshold that is to be found S * S * L.

    Raises Invalid: there is one item alone, or no threshold can be found.
    """
    if len(index.label_sets) < 2:
        raise Invalid.field("items", "one clip alone cannot be tagged by the others; add clips")
    cosines = label_cosines(index)
    supported = cosines > LOST
    scores = np.where(supported, cosines, UNSUPPORTED)
    match decision.rule:
        case "lcp":
            return _nearest(index)
        case "ml_pn":
            return above(scores, 0.0, supported)
        case "centred":
            return above(np.concatenate([centred_scores(i, q) for i, q in _singles(index)]), 0.0, supported)
        case "threshold":
            if decision.threshold is not None:
                return above(scores, decision.threshold, supported)._replace(threshold=decision.threshold)
            return above(scores, np.array([[loo_threshold(one)] for one, _ in _singles(index)]), supported)
        case "topk" | "blend":
            if decision.rule == "blend":
                combined = np.concatenate([index.best_with_label(_present(part)) for part in _parts(index)])
                scores = np.where(supported, (scores + combined) / 2, UNSUPPORTED)
            told = best(scores, decision.k or _ks(index), supported)
            return told._replace(k=decision.k)


def _ks(index: TagIndex) -> np.ndarray:
    """int64 (S, 1): the default k without each item."""
    sizes = [mask.bit_count() for mask in index.label_sets]
    total = sum(sizes)
    return np.array([[rounded_mean(total - size, len(sizes) - 1)] for size in sizes])


def _nearest(index: TagIndex) -> Decided:
    """The labels of the nearest set. Ties go as in ``closed_sets``; the item may have been the first to hold a set."""
    held_by = extents(index.sets, index.label_sets)
    chosen: list[int] = []
    scores: list[np.ndarray] = []
    for part in _parts(index):
        near = part.similarities >= part.similarities.max(1, keepdims=True) - TIE
        for item, row in zip(part.items.tolist(), near, strict=True):
            tied = np.flatnonzero(row).tolist()
            chosen.append(index.sets[min(tied, key=lambda i: _order(index.sets[i], held_by[i] & ~(1 << item)))])
        scores.append(index.best_with_label(_present(part)))
    return Decided(multi_hot(chosen, index.labels), np.concatenate(scores), None, None)


def _order(mask: int, extent: int) -> tuple[int, ...]:
    return (-mask.bit_count(), extent & -extent, *bits(mask))


def _present(part: Part) -> np.ndarray:
    return np.maximum(part.similarities, UNSUPPORTED)


def _parts(index: TagIndex) -> Iterator[Part]:
    """The items in pieces whose similarities are ``CHUNK`` numbers or fewer."""
    step = max(1, CHUNK // len(index.sets))
    for start in range(0, len(index.label_sets), step):
        items = np.arange(start, min(start + step, len(index.label_sets)))
        yield Part(items, _similarities(index, items))


def _similarities(index: TagIndex, items: np.ndarray) -> np.ndarray:
    found = index.similarities(index.embeddings[items])
    label_sets = [index.label_sets[item] for item in items]
    for part in index.parts():
        sums, counts = index.sums(part), index.counts[part]
        for row, member in enumerate(membership(index.sets[part], label_sets).T):
            held = np.flatnonzero(member)
            rows = np.broadcast_to(index.embeddings[items[row]], (len(held), sums.shape[1]))
            found[row, part.start + held] = without(rows, sums[held], counts[held])
    if not index.exact:
        _drop_own(index, items, found)
    return found


def _drop_own(index: TagIndex, items: np.ndarray, found: np.ndarray) -> None:
    """A degraded index holds an item's label set for the item's sake: without it the set goes, single labels stay."""
    place = {mask: i for i, mask in enumerate(index.sets)}
    shared = np.bincount(index.group_of)[index.group_of] > 1
    for row, item in enumerate(items.tolist()):
        mask = index.label_sets[item]
        if not shared[item] and mask.bit_count() > 1:
            found[row, place[mask]] = LOST


def _singles(index: TagIndex) -> Iterator[tuple[TagIndex, np.ndarray]]:
    """For each item the index of the others, with single labels only, and the item's embedding (1, D)."""
    for item in range(len(index.label_sets)):
        left = (*index.label_sets[:item], *index.label_sets[item + 1 :])
        rows = np.delete(index.embeddings, item, axis=0)
        sets = tuple(1 << label for label in bits(union(left)))
        yield TagIndex(rows, left, index.labels, sets, False), index.embeddings[item : item + 1]


def union(label_sets: tuple[int, ...]) -> int:
    """All labels that occur."""
    every = 0
    for mask in label_sets:
        every |= mask
    return every

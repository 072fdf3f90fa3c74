"""Closed label sets: the only label combinations that can be predicted (specification, section 3.2).

A label set is a bit mask, a Python int: bit i is label i. Combinations are the non-empty subsets of the items' label
sets. Two combinations with the same extent (the items that carry all of their labels) have the same prototype, and
ties go to the larger one; so of each extent only the largest combination counts, and that is the intersection of the
label sets in the extent. These intersections are the closed sets.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from common.errors import Invalid
from contracts.music_fewshot import MAX_CLOSED_SETS
from contracts.problem import FieldError


class TooManyClosedSets(Invalid):
    """Enumeration was stopped: the support items overlap in too many ways."""

    def __init__(self, limit: int) -> None:
        message = (
            f"more than {limit} label combinations have a prototype of their own: put fewer tags on each clip, "
            "or let the tag set degrade"
        )
        super().__init__(f"items: {message}", errors=(FieldError(field="items", message=message),))


def masks(labels: np.ndarray) -> tuple[int, ...]:
    """Bit masks of the rows of a bool (S, N) table."""
    packed = np.packbits(labels, axis=1, bitorder="little")
    return tuple(int.from_bytes(row.tobytes(), "little") for row in packed)


def multi_hot(label_sets: Sequence[int], labels: int) -> np.ndarray:
    """bool (len(label_sets), labels): the inverse of ``masks``."""
    width = (labels + 7) // 8
    packed = np.frombuffer(b"".join(mask.to_bytes(width, "little") for mask in label_sets), np.uint8)
    return np.unpackbits(packed.reshape(len(label_sets), width), axis=1, count=labels, bitorder="little").astype(bool)


def closed_sets(label_sets: Sequence[int], limit: int) -> tuple[int, ...]:
    """All non-empty intersections of the label sets, in the order of the tie rule (``_ordered``).

    Stops with TooManyClosedSets as soon as there are more than ``limit``, so time and memory are bounded by
    S * limit intersections and 2 * limit masks, whatever the label sets are.
    """
    found: set[int] = set()
    holding: dict[int, list[int]] = {}
    for mask in label_sets:
        if mask in found:  # an intersection of earlier sets: all that it adds is there already
            continue
        labels = tuple(bits(mask))
        near = set[int]().union(*(holding.get(label, ()) for label in labels))  # the others have nothing in common
        new = {mask & other for other in near} - found | {mask}
        found |= new
        if len(found) > limit:
            raise TooManyClosedSets(limit)
        for other in new:
            for label in bits(other):
                holding.setdefault(label, []).append(other)
    return _ordered(found, label_sets)


def degraded_sets(label_sets: Sequence[int]) -> tuple[int, ...]:
    """The items' own label sets and the single labels, in the same order: at most S + N, for what cannot be exact.

    A single label that is not closed has the prototype of a larger set of these or of one left out, so predictions
    may name fewer labels than the exact ones do.
    """
    union = 0
    for mask in label_sets:
        union |= mask
    return _ordered({*label_sets, *(1 << label for label in bits(union))}, label_sets)


def membership(sets: Sequence[int], label_sets: Sequence[int]) -> np.ndarray:
    """bool (C, S): whether item s carries all labels of set c."""
    return multi_hot(extents(sets, label_sets), len(label_sets))


def extents(sets: Sequence[int], label_sets: Sequence[int]) -> list[int]:
    """Bit masks over the items: who carries all labels of each (non-empty) set."""
    holders = carriers(label_sets)
    found = []
    for mask in sets:
        extent = -1
        for label in bits(mask):
            extent &= holders.get(label, 0)
        found.append(extent)
    return found


def multiplicities(sets: Sequence[int]) -> tuple[int, ...]:
    """For each closed set the number of combinations whose closure it is; their sum is the number of combinations.

    Exact for any size: Python ints, since 2^|A| passes float64 at 54 labels and int64 at 63.
    """
    order = sorted(range(len(sets)), key=lambda i: sets[i].bit_count())
    containing = carriers([sets[i] for i in order])
    left = np.array([(1 << sets[i].bit_count()) - 1 for i in order], dtype=object)
    for place, i in enumerate(order):
        larger = -1
        for label in bits(sets[i]):
            larger &= containing[label]
        above = place + 1 + np.flatnonzero(multi_hot([larger >> (place + 1)], len(sets) - place - 1)[0])
        # m(A) = 2^|A| - 1 - sum of m(B) over closed B below A (specification, section 3.2): B is done, so tell each A.
        left[above] -= left[place]
    found = [0] * len(sets)
    for place, i in enumerate(order):
        found[i] = left[place]
    return tuple(found)


def combinations(label_sets: Sequence[int], limit: int = MAX_CLOSED_SETS) -> int:
    """The number of label combinations, exact and without listing them. TooManyClosedSets above ``limit``."""
    return sum(multiplicities(closed_sets(label_sets, limit)))


def bits(mask: int) -> Iterator[int]:
    """Positions of the ones, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def carriers(label_sets: Sequence[int]) -> dict[int, int]:
    """For each label that occurs, ascending, the bit mask (over positions) of the sets that hold it."""
    holders: dict[int, list[int]] = {}
    for position, mask in enumerate(label_sets):
        for label in bits(mask):
            holders.setdefault(label, []).append(position)
    return {label: _mask(positions, len(label_sets)) for label, positions in sorted(holders.items())}


def _mask(positions: Sequence[int], length: int) -> int:
    row = np.zeros(length, dtype=bool)
    row[positions] = True
    return int.from_bytes(np.packbits(row, bitorder="little").tobytes(), "little")


def _ordered(sets: Iterable[int], label_sets: Sequence[int]) -> tuple[int, ...]:
    """Larger sets first; of equal size the one that the exhaustive enumeration meets first.

    That enumeration goes through the items in order and through each item's subsets by size, then lexicographically by
    label (specification, section 1.4); so the first best of this order is the answer under the tie rule.
    """
    given = tuple(sets)
    first = {mask: extent & -extent for mask, extent in zip(given, extents(given, label_sets), strict=True)}
    return tuple(sorted(given, key=lambda mask: (-mask.bit_count(), first[mask], *bits(mask))))

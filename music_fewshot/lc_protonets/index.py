"""The matcher: cosine of embeddings to the prototypes of all closed label sets, without ever forming the prototypes.

A prototype is the mean embedding of an extent, so its product with a query is a mean of products: each query is
multiplied with the support once, and the products are added up along the extents (specification, section 3.2, "sparse
membership form"). Items with the same label set are in the same extents; they are added up beforehand, as one group.
Everything is float64: it costs less here than float32 over all prototypes would.

**What is guaranteed about ties.** Cosines closer than ``TIE`` are one and the same, and the first in the order of
``closed_sets`` wins. Rounding is far below ``TIE`` and the resolution of float32 embeddings far above it, so what is
equal in exact arithmetic (the same mean from different extents, say of duplicate clips, or mirrored prototypes) ties
here too, in any batch, and gives what the exhaustive rule gives.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np

from common.errors import Invalid
from contracts.music_fewshot import MAX_CLOSED_SETS
from music_fewshot.lc_protonets.closed import (
    TooManyClosedSets,
    carriers,
    closed_sets,
    degraded_sets,
    extents,
    membership,
    multi_hot,
)
from music_fewshot.lc_protonets.sums import Segments, groups, row_norms, segments

EPSILON = 1e-8
"""Added to each norm, not inside the root (specification, section 1.3): a zero embedding has cosine 0 to everything."""
TIE = 1e-12
UNSUPPORTED = -1.0
"""Score of a label that no support item carries."""
CHUNK = 1 << 22
"""Numbers held at once while products are added up along the extents: 32 MiB."""
LARGEST = float(np.finfo(np.float32).max)


class TagIndex:
    """Label combinations of a support, ready to be compared with queries. Not to be edited while others read it."""

    def __init__(
        self, embeddings: np.ndarray, label_sets: Sequence[int], labels: int, sets: tuple[int, ...], exact: bool
    ) -> None:
        """Of parts that fit together; ``build`` checks them and finds the sets."""
        self.embeddings = embeddings
        """float64 (S, D)"""
        self.label_sets = label_sets = tuple(label_sets)
        """S bit masks over the labels"""
        self.labels = labels
        self.sets = sets
        """C bit masks, best first where cosines tie"""
        self.exact = exact
        """False: ``sets`` are only the items' own label sets and the single labels."""
        self.limit = MAX_CLOSED_SETS
        self.degrade = False
        self.memo: dict[str, float] = {}
        """What the rules derive from the support; it goes with every edit."""

        distinct = {mask: group for group, mask in enumerate(dict.fromkeys(self.label_sets))}
        self.group_of = np.array([distinct[mask] for mask in self.label_sets])
        """int64 (S,): the group of each item"""
        grouped = groups(self.group_of)
        self.group_sums = grouped.sums(embeddings)
        """float64 (G, D)"""
        self.extents = segments(extents(sets, tuple(distinct)), len(distinct))
        """The groups of each closed set's extent"""
        self.counts = self.extents.totals(grouped.sizes)
        """int64 (C,): items of each extent"""

        holders = carriers(tuple(distinct))
        carried = segments(tuple(holders.values()), len(distinct))
        self.supported = np.zeros(labels, dtype=bool)
        """bool (labels,): whether any item carries the label; one that none carries is never told"""
        self.supported[list(holders)] = True
        self.label_counts = np.zeros(labels, dtype=np.int64)
        """int64 (labels,): items"""
        self.label_counts[self.supported] = carried.totals(grouped.sizes)
        self.label_sums = np.zeros((labels, embeddings.shape[1]))
        """float64 (labels, D)"""
        self.label_sums[self.supported] = carried.sums(self.group_sums)
        self.label_prototypes = unit(self.label_means)
        """float64 (labels, D): ML-PN's prototypes over their norms; zeros where there is none"""
        self.total = segments([(1 << len(distinct)) - 1], len(distinct)).sums(self.group_sums)[0]
        """float64 (D,): all embeddings added up, in the order in which a label of every item adds them"""
        self.support_mean = self.total / len(embeddings)
        """float64 (D,)"""
        self._scale = 1 / (self.counts * (self._norms() + EPSILON))

    @classmethod
    def build(
        cls,
        embeddings: np.ndarray,
        label_sets: Sequence[int],
        labels: int,
        *,
        limit: int = MAX_CLOSED_SETS,
        degrade: bool = False,
    ) -> Self:
        """From float32 or float64 (S, D) embeddings and S non-empty masks over ``labels`` labels.

        More than ``limit`` closed sets: TooManyClosedSets, or the sets of ``degraded_sets`` with ``degrade``.
        Invalid: no item, an item without a label or with one out of range, an embedding that is not finite.
        """
        rows = checked(embeddings, None)
        if not label_sets or len(label_sets) != len(rows):
            raise Invalid.field("items", f"{len(label_sets)} label sets for {len(rows)} embeddings, one each is needed")
        if not all(0 < mask < 1 << labels for mask in label_sets):
            raise Invalid.field("items", f"every item must carry one or more of the {labels} labels")
        try:
            index = cls(rows, label_sets, labels, closed_sets(label_sets, limit), True)
        except TooManyClosedSets:
            if not degrade:
                raise
            index = cls(rows, label_sets, labels, degraded_sets(label_sets), False)
        index.limit, index.degrade = limit, degrade
        return index

    def add(self, embedding: np.ndarray, label_set: int) -> None:
        """One more item, as the last. As ``build``; nothing has changed if it raises.

        The index is built anew: that takes milliseconds, and the order of edits cannot leave traces in rounded sums.
        """
        row = checked(np.asarray(embedding)[None], self.embeddings.shape[1])
        self._become(np.concatenate([self.embeddings, row]), (*self.label_sets, label_set))

    def remove(self, position: int) -> None:
        """Without the item at ``position``, built anew. Invalid: there is none, or it is the only one."""
        if not 0 <= position < len(self.label_sets):
            raise Invalid.field("item", f"no item {position} among {len(self.label_sets)}")
        left = (*self.label_sets[:position], *self.label_sets[position + 1 :])
        self._become(np.delete(self.embeddings, position, axis=0), left)

    def similarities(self, queries: np.ndarray) -> np.ndarray:
        """Cosines of (Q, D) queries to the prototypes: float64 (Q, C), within [-1, 1]. Invalid: not finite."""
        rows = checked(queries, self.embeddings.shape[1])
        products = unit(rows) @ self.group_sums.T
        found = np.empty((len(rows), len(self.sets)))
        step = max(1, CHUNK // len(self.extents.members))
        for start in range(0, len(rows), step):
            found[start : start + step] = self.extents.row_totals(products[start : start + step])
        found *= self._scale
        return np.clip(found, -1, 1, out=found)

    def label_similarities(self, queries: np.ndarray) -> np.ndarray:
        """Cosines of (Q, D) queries to the single labels' prototypes: float64 (Q, labels), 0 without support."""
        return np.clip(unit(checked(queries, self.embeddings.shape[1])) @ self.label_prototypes.T, -1, 1)

    def nearest(self, queries: np.ndarray) -> np.ndarray:
        """int64 (Q,): the best closed set of each query, under the tie rule."""
        return first_best(self.similarities(queries))

    def best_with_label(self, similarities: np.ndarray) -> np.ndarray:
        """float64 (Q, labels): for (Q, C) similarities the best of the sets that hold each label, -1 if none does."""
        best = np.full((len(similarities), self.labels), UNSUPPORTED)
        step = max(1, CHUNK // len(self._holders.members))
        for start in range(0, len(similarities), step):
            best[start : start + step, self.supported] = self._holders.row_best(similarities[start : start + step])
        return best

    def extent(self, position: int) -> np.ndarray:
        """int64: the items that carry all labels of the closed set at ``position``, ascending."""
        return np.flatnonzero(np.isin(self.group_of, self.extents.of(position)))

    @property
    def label_means(self) -> np.ndarray:
        """float64 (labels, D): ML-PN's prototypes as they are."""
        return self.label_sums / np.maximum(self.label_counts, 1)[:, None]

    @cached_property
    def member(self) -> np.ndarray:
        """bool (C, S): whether item s carries all labels of set c."""
        return membership(self.sets, self.label_sets)

    @cached_property
    def multi_hot(self) -> np.ndarray:
        """bool (C, labels)"""
        return multi_hot(self.sets, self.labels)

    @cached_property
    def prototypes(self) -> np.ndarray:
        """float32 (C, D): means over their norms, for those who want to see them. The matcher needs none."""
        return np.concatenate([unit(self.sums(part) / self.counts[part][:, None]) for part in self.parts()]).astype(
            np.float32
        )

    def sums(self, part: slice) -> np.ndarray:
        """float64 (len(part), D): the embeddings of each extent added up."""
        return self.extents.part(part).sums(self.group_sums)

    def parts(self) -> list[slice]:
        """The closed sets cut into pieces whose sums are ``CHUNK`` numbers or fewer."""
        step = max(1, CHUNK // self.embeddings.shape[1])
        return [slice(start, min(start + step, len(self.sets))) for start in range(0, len(self.sets), step)]

    @cached_property
    def _holders(self) -> Segments:
        """The closed sets that hold each supported label."""
        return segments(tuple(carriers(self.sets).values()), len(self.sets))

    def _norms(self) -> np.ndarray:
        return np.concatenate([row_norms(self.sums(part) / self.counts[part][:, None]) for part in self.parts()])

    def _become(self, embeddings: np.ndarray, label_sets: Sequence[int]) -> None:
        other = TagIndex.build(embeddings, label_sets, self.labels, limit=self.limit, degrade=self.degrade)
        self.__dict__ = other.__dict__


def first_best(similarities: np.ndarray) -> np.ndarray:
    """int64 (Q,): the first column that is within ``TIE`` of the row's maximum."""
    return (similarities >= similarities.max(1, keepdims=True) - TIE).argmax(1)


def checked(rows: np.ndarray, width: int | None) -> np.ndarray:
    """Embeddings as float64 (n, D). Invalid: another shape than (n, width), or a number that float32 cannot hold."""
    given = np.asarray(rows, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != (width or given.shape[1]):
        raise Invalid.field("embedding", f"shape {given.shape}, (n, {width or 'D'}) is needed")
    if not (np.abs(given) <= LARGEST).all():
        raise Invalid.field("embedding", "it must be finite: the clip or the embedding model is broken")
    return given


def unit(rows: np.ndarray) -> np.ndarray:
    """(n, D) rows over their norms."""
    return rows / (row_norms(rows) + EPSILON)[:, None]

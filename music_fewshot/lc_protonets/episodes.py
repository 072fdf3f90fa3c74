"""Episodes of few-shot multi-label learning (arXiv 2409.11264): N labels, K support items a label, queries.

``Draws(seed)`` is the default: its own generator, and an item that is in the set already is not drawn again, so every
label gets K distinct support items where it has them. ``Draws(seed, paper_exact=True)`` does what the authors' sampler
does (specification, section 1.7): Python's ``random``, and items that may come again, so that a label may end with
fewer than K; with it the published test episodes can be replayed (``replay.py``).
"""

from collections.abc import Collection, Iterator, Sequence
from random import Random
from typing import Literal, NamedTuple

import numpy as np

from common.errors import OperatorError
from music_fewshot.lc_protonets.closed import masks

TagChoice = Literal["base", "novel", "both"]
"""Tags of an evaluation: of the training, new ones, or first those and then these."""


class Episode(NamedTuple):
    """Label sets are restricted to the episode's labels; label i of the episode is tag ``labels[i]``."""

    labels: np.ndarray
    """int64 (N,): tags, ascending"""
    support: np.ndarray
    """int64 (S,): rows of the truth table, in the order in which they were drawn"""
    query: np.ndarray
    """int64 (Q,): rows, ascending in a test episode, as drawn in a training one"""
    support_sets: tuple[int, ...]
    """S bit masks over the episode's labels"""
    support_labels: np.ndarray
    """bool (S, N)"""
    query_labels: np.ndarray
    """bool (Q, N)"""


class Cluster(NamedTuple):
    """A One-vs-Rest episode (specification, section 1.6): one query, one of its labels against N - 1 others."""

    labels: np.ndarray
    """int64 (N,): tags, shuffled"""
    support: np.ndarray
    """int64 (N, K): rows; those of line i count as carriers of label i alone"""
    query: int
    """row"""
    target: int
    """Position in ``labels`` of the one that the query carries"""


class Draws:
    """A stream of draws without replacement: the same for a seed on every Python version."""

    def __init__(self, seed: int, *, paper_exact: bool = False) -> None:
        self.paper_exact = paper_exact
        self._random = Random(seed)  # no secret; the authors' episodes depend on this generator
        self._generator = np.random.default_rng(seed)

    def sample(self, pool: Collection[int], n: int) -> list[int]:
        """``n`` of the pool, all of it where there are fewer.

        The authors' draw depends on the order of a set of small integers, which is the same in every CPython; it is an
        OperatorError there if the pool is too small, because their sampler stops.
        """
        if not self.paper_exact:
            ordered = np.sort(np.fromiter(pool, np.int64, len(pool)))
            return ordered[self._generator.permutation(len(ordered))[:n]].tolist()
        if n > len(pool):
            raise OperatorError(f"paper_exact: {n} items are to be drawn from {len(pool)}: take fewer shots or tags")
        return self._random.sample(tuple(pool), n)


def evaluation_tags(tags: int, base: int, ways: int, choice: TagChoice) -> tuple[int, ...]:
    """The tags of an evaluation, where the first ``base`` of ``tags`` tags are those of the training.

    ``both`` takes all base tags first where ``ways`` allows it, else half (rounded down) of each; so 30-way ``both`` is
    30-way ``base`` on a data set with 30 base tags (specification, section 1.8). OperatorError: too few tags.
    """
    first = {"base": ways, "novel": 0, "both": base if ways >= base else ways // 2}[choice]
    rest = ways - first
    if ways < 1 or first > base or rest > tags - base:
        raise OperatorError(f"{ways}-way {choice}: there are {base} base and {tags - base} novel tags")
    return (*range(first), *range(base, base + rest))


class Pool:
    """The items that carry one of the given tags, and who carries which: make it once, draw many episodes from it.

    ``truth``: bool (n, all tags); ``tags``: columns. OperatorError: a tag without an item.
    """

    def __init__(self, truth: np.ndarray, tags: Sequence[int]) -> None:
        self.tags = np.unique(np.asarray(tags, dtype=np.int64))
        """int64, ascending"""
        self.rows = np.flatnonzero(truth[:, self.tags].any(1))
        """int64: rows of the truth table. Items are numbered by their place here, as in the authors' loader."""
        self.truth = truth[np.ix_(self.rows, self.tags)]
        self.carriers: dict[int, set[int]] = {}
        """Items by place of the tag, in the order of first appearance: the authors' sampler draws from the keys."""
        for item, label in np.argwhere(self.truth).tolist():
            self.carriers.setdefault(label, set()).add(item)
        for label, tag in enumerate(self.tags.tolist()):
            if label not in self.carriers:
                raise OperatorError(f"tag {tag}: no item carries it, so no episode can hold it")

    def draw(self, order: Sequence[int], shots: int, draws: Draws, excluded: Collection[int] = ()) -> list[int]:
        """Items in the order in which they came: the labels in turn, each filled up to ``shots``."""
        count = dict.fromkeys(order, 0)
        taken: dict[int, None] = {}
        free = set(range(len(self.rows))).difference(excluded)
        for label in order:
            if count[label] >= shots:
                continue
            pool = self.carriers[label] & free
            for item in draws.sample(pool if draws.paper_exact else pool - taken.keys(), shots - count[label]):
                taken[item] = None
                for other in order:
                    count[other] += bool(self.truth[item, other])
        return list(taken)

    def episode(self, labels: Sequence[int], support: list[int], query: list[int]) -> Episode:
        """Label sets restricted to ``labels``. OperatorError: no query."""
        if not query:
            raise OperatorError("no item is left to be a query: take fewer shots or more items")
        columns = np.sort(np.asarray(labels, dtype=np.int64))
        support_labels = self.truth[np.ix_(np.array(support, dtype=np.int64), columns)]
        return Episode(
            labels=self.tags[columns],
            support=self.rows[support],
            query=self.rows[query],
            support_sets=masks(support_labels),
            support_labels=support_labels,
            query_labels=self.truth[np.ix_(np.array(query, dtype=np.int64), columns)],
        )


def test_episode(pool: Pool, *, shots: int, draws: Draws) -> Episode:
    """One episode with all tags of the pool; every item that is no support item is a query. OperatorError: none is."""
    labels = draws.sample(tuple(pool.carriers), len(pool.tags))
    support = pool.draw(labels, shots, draws)
    return pool.episode(labels, support, sorted(set(range(len(pool.rows))).difference(support)))


setattr(test_episode, "__test__", False)  # noqa: B010 - the name is the paper's; pytest is not to collect it


def training_episode(pool: Pool, *, ways: int, shots: int, queries: int, draws: Draws) -> Episode:
    """``ways`` tags of the pool by lot, ``shots`` support and ``queries`` query items each; no item is both.

    OperatorError: fewer tags than ways, or no query left.
    """
    if not 1 <= ways <= len(pool.tags):
        raise OperatorError(f"{ways}-way episodes need as many tags, there are {len(pool.tags)}")
    labels = draws.sample(tuple(pool.carriers), ways)
    support = pool.draw(labels, shots, draws)
    return pool.episode(labels, support, pool.draw(labels, queries, draws, support))


def ovr_clusters(pool: Pool, *, ways: int, shots: int, draws: Draws) -> Iterator[Cluster]:
    """One pass over the items of the pool, in random order; a cluster for each tag of each.

    Skipped: a query that leaves fewer than ``ways - 1`` other tags, and a tag with fewer than ``shots`` other items.
    """
    for query in draws.sample(range(len(pool.rows)), len(pool.rows)):
        usable = {label for label, items in pool.carriers.items() if len(items - {query}) >= shots}
        active = set(np.flatnonzero(pool.truth[query]).tolist())
        others = usable - active
        for label in sorted(active & usable):
            if len(others) < ways - 1:
                continue
            labels = draws.sample((label, *draws.sample(others, ways - 1)), ways)
            support = [draws.sample(pool.carriers[other] - {query}, shots) for other in labels]
            yield Cluster(
                labels=pool.tags[labels],
                support=pool.rows[np.array(support, dtype=np.int64)],
                query=int(pool.rows[query]),
                target=labels.index(label),
            )

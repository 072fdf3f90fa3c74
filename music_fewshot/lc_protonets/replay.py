"""The published test episodes again, from label tables alone (specification, section 5.3); nothing is heard."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from common.errors import OperatorError
from music_fewshot.lc_protonets.closed import closed_sets, multiplicities
from music_fewshot.lc_protonets.episodes import Draws, Pool, TagChoice, evaluation_tags, test_episode
from music_fewshot.lc_protonets.metrics import F1, f1

LIMIT = 10_000


class Table(msgspec.Struct, frozen=True):
    """``lcp_replay/{lyra,fma}.json``."""

    dataset: str
    base_tags: tuple[str, ...]
    novel_tags: tuple[str, ...]
    test_item_labels: tuple[tuple[str, ...], ...]


class Replayed(NamedTuple):
    """One episode."""

    combinations: int
    support: int
    queries: int
    true: float
    """Mean number of the episode's tags on a query."""
    closed_sets: int
    all_ones: F1


def read_table(file: Path) -> Table:
    """Raises OperatorError for a file that is missing or of another layout."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Table, strict=True)
    except (OSError, msgspec.DecodeError) as error:
        raise OperatorError(f"{file}: {error}; name the folder of the data sets with --data") from error


def truth_table(table: Table) -> np.ndarray:
    """bool (items, base and novel tags), items in file order."""
    place = {tag: i for i, tag in enumerate((*table.base_tags, *table.novel_tags))}
    truth = np.zeros((len(table.test_item_labels), len(place)), dtype=bool)
    for item, labels in enumerate(table.test_item_labels):
        truth[item, [place[label] for label in labels if label in place]] = True
    return truth


def replay(table: Table, ways: int, choice: TagChoice, seed: int) -> Replayed:
    """The 3-shot test episode that the authors' sampler draws with this seed."""
    truth = truth_table(table)
    tags = evaluation_tags(truth.shape[1], len(table.base_tags), ways, choice)
    episode = test_episode(Pool(truth, tags), shots=3, draws=Draws(seed, paper_exact=True))
    sets = closed_sets(episode.support_sets, LIMIT)
    every = f1(episode.query_labels, np.ones_like(episode.query_labels))
    return Replayed(sum(multiplicities(sets)), len(episode.support), len(episode.query), every.true, len(sets), every)

"""The difference between two lists of clips, against doing it."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from music_fewshot.tag_sets.content import Item
from music_fewshot.tag_sets.store.difference import difference

Bare = tuple[str, tuple[str, ...], float]


def items(bare: Sequence[Bare]) -> list[Item]:
    return [Item(id_, "c", tags, np.array([value], np.float32), 1.0, 1, "") for id_, tags, value in bare]


def bare(items: Sequence[Item]) -> list[Bare]:
    return [(item.id, item.tags, float(item.embedding[0])) for item in items]


CLIPS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([("x",), ("x", "y")]), st.sampled_from([0.0, 1.0])),
    max_size=6,
    unique_by=lambda clip: clip[0],
)


@given(CLIPS, CLIPS, st.lists(st.integers(0, 50), min_size=6, max_size=6, unique=True))
def test_the_difference_leads_from_one_to_the_other(old: list[Bare], new: list[Bare], places: list[int]) -> None:
    before = dict(zip(sorted(places), items(old), strict=False))
    change = difference(before, items(new))
    rows = {position: item for position, item in before.items() if position not in change.removed}
    for position, item in change.retagged:
        assert rows[position].tags != item.tags
        rows[position] = rows[position]._replace(tags=item.tags)
    for position, item in change.added:
        assert position not in rows
        rows[position] = item
    assert bare([rows[position] for position in sorted(rows)]) == new


@given(CLIPS, CLIPS, st.sets(st.integers(0, 5)))
def test_what_stays_is_not_written(old: list[Bare], new: list[Bare], gone: set[int]) -> None:
    names = {clip[0] for clip in old}
    added = [clip for clip in new if clip[0] not in names]
    before = dict(enumerate(items(old)))
    left = [item for position, item in before.items() if position not in gone]
    change = difference(before, [*left, *items(added)])
    assert set(change.removed) == gone & set(before)
    assert change.retagged == ()
    assert bare([item for _, item in change.added]) == added

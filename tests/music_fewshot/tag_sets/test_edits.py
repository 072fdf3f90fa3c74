"""Edits as pure functions: what they keep, what they refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Conflict, Invalid, Unknown
from contracts.music_fewshot import MAX_ITEM_TAGS, MAX_ITEMS, MAX_TAGS, Decision, NewItem, TagPatch, TagSetPatch
from music_fewshot.tag_sets.content import Content, Item
from music_fewshot.tag_sets.edits import added, check_items, label_sets, removed, renamed, updated

TAGS = st.frozensets(st.sampled_from("abcde"), min_size=1)


def item(name: str, *tags: str) -> Item:
    return Item(name, f"{name}.wav", tuple(sorted(tags)), np.zeros(2, np.float32), 1.0, 1, "0" * 64)


def content(*items: Item) -> Content:
    return Content("n", "d", "m@1", "0" * 64, Decision(), "refuse", items)


@given(st.lists(TAGS, min_size=1, max_size=6), st.sampled_from("abcde"), st.sampled_from("abcdefg"), st.booleans())
def test_renaming_is_renaming_of_each_set(rows, old: str, new: str, merge: bool) -> None:
    before = content(*(item(str(i), *tags) for i, tags in enumerate(rows)))
    there = set().union(*rows)
    patch = TagPatch(name=new, merge=merge)
    if old not in there:
        with pytest.raises(Unknown, match="no tag"):
            renamed(before, old, patch)
    elif new in there and new != old and not merge:
        with pytest.raises(Conflict, match="merge=true"):
            renamed(before, old, patch)
    else:
        after = renamed(before, old, patch)
        assert [set(i.tags) for i in after.items] == [{new if t == old else t for t in tags} for tags in rows]
        assert all(list(i.tags) == sorted(set(i.tags)) for i in after.items)
        assert after.tags == tuple(sorted({new if t == old else t for t in there}))


@given(st.lists(TAGS, min_size=1, max_size=6))
def test_masks_are_the_sorted_tags(rows) -> None:
    made = content(*(item(str(i), *tags) for i, tags in enumerate(rows)))
    for mask, tags in zip(label_sets(made), rows, strict=True):
        assert {made.tags[i] for i in range(len(made.tags)) if mask >> i & 1} == tags


def test_a_removed_clip_takes_its_tags_along_and_the_last_one_stays() -> None:
    both = content(item("1", "a", "b"), item("2", "b"))
    left = removed(both, "1")
    assert (left.tags, [i.id for i in left.items]) == (("b",), ["2"])
    with pytest.raises(Conflict, match="DELETE the tag set"):
        removed(left, "2")
    with pytest.raises(Unknown, match="no item '3'"):
        removed(both, "3")


def test_a_patch_leaves_what_it_does_not_give() -> None:
    before = content(item("1", "a"))
    assert updated(before, TagSetPatch()) == before
    assert updated(before, TagSetPatch(description="", overflow="degrade")) == before._replace(
        description="", overflow="degrade"
    )


def test_the_limits_hold_to_the_one() -> None:
    names = [f"{i}" for i in range(MAX_TAGS + 1)]
    full = content(*(item(str(i), *names[i : i + 50]) for i in range(0, MAX_TAGS, 50)))
    assert len(added(full, [item("x", "0")]).tags) == MAX_TAGS
    with pytest.raises(Invalid, match=f"at most {MAX_TAGS} different tags, this would be {MAX_TAGS + 1}"):
        added(full, [item("x", names[-1])])
    one = item("1", "a")
    crowd = content(*[one] * (MAX_ITEMS - 1))
    assert len(added(crowd, [one]).items) == MAX_ITEMS
    with pytest.raises(Invalid, match=f"at most {MAX_ITEMS} clips"):
        added(crowd, [one, one])
    with pytest.raises(Invalid, match=f"at most {MAX_ITEM_TAGS} tags"):
        added(content(one), [item("2", *names[: MAX_ITEM_TAGS + 1])])


def test_all_that_does_not_fit_a_form_is_told_at_once() -> None:
    items = [
        NewItem(clip="a", tags=("x", "x", "y", "y", "z")),
        NewItem(clip="b", tags=("x",)),
        NewItem(clip="c", tags=("x",)),
        NewItem(clip="c", tags=("y",)),
    ]
    with pytest.raises(Invalid) as caught:
        check_items(items, ["a", "c", "d"], "form.items")
    assert [(e.field, e.message.partition(";")[0]) for e in caught.value.errors] == [
        ("form.items.items[0].tags", "names 'x', 'y' more than once"),
        ("form.items.items[1].clip", "the form has no part 'b'"),
        ("form.items.items[2].clip", "'c' is named by 2 items"),
        ("form.items.items[3].clip", "'c' is named by 2 items"),
        ("form.d", "no item names this file"),
    ]
    check_items([NewItem(clip="a", tags=("x",))], ["a"], "form.items")

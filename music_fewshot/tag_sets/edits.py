"""Edits of a tag set: pure functions from what it is to what it is to be. No database, no request."""

from collections import Counter
from collections.abc import Iterable, Sequence

from common.errors import Conflict, Invalid, Unknown
from contracts.music_fewshot import MAX_ITEM_TAGS, MAX_ITEMS, MAX_TAGS, NewItem, TagPatch, TagSetPatch
from contracts.problem import FieldError
from music_fewshot.tag_sets.content import Content, Item


def check_items(items: Sequence[NewItem], files: Iterable[str], where: str) -> None:
    """Whether clips and files of a form belong together, and each clip's tags are different.

    ``where`` is the field that holds the items, such as ``form.tag_set``. Raises Invalid with all that is wrong.
    """
    errors: list[FieldError] = []
    named, parts = Counter(item.clip for item in items), set(files)
    for i, item in enumerate(items):
        at = f"{where}.items[{i}]"
        if named[item.clip] > 1:
            message = f"{item.clip!r} is named by {named[item.clip]} items; give one item all of its tags"
            errors.append(FieldError(field=f"{at}.clip", message=message))
        elif item.clip not in parts:
            message = f"the form has no part {item.clip!r}; add the file as a part of this name"
            errors.append(FieldError(field=f"{at}.clip", message=message))
        repeated = [tag for tag, count in Counter(item.tags).items() if count > 1]
        if repeated:
            errors.append(FieldError(field=f"{at}.tags", message=f"names {_list(repeated)} more than once"))
    stray = "no item names this file; add one, or leave it out"
    errors += [FieldError(field=f"form.{part}", message=stray) for part in sorted(parts - named.keys())]
    if errors:
        raise Invalid.fields(tuple(errors))


def added(content: Content, items: Iterable[Item]) -> Content:
    """With more clips, as the last ones. Raises Invalid: too many clips or tags."""
    return checked(content._replace(items=(*content.items, *items)))


def removed(content: Content, item: str) -> Content:
    """Without a clip; tags that no other clip carries go with it. Raises Unknown, and Conflict: it is the only one."""
    left = tuple(one for one in content.items if one.id != item)
    if len(left) == len(content.items):
        raise Unknown(f"the tag set has no item {item[:64]!r}; GET it to see those it has")
    if not left:
        raise Conflict("this is the only clip of the tag set, which cannot be without; DELETE the tag set instead")
    return content._replace(items=left)


def renamed(content: Content, tag: str, patch: TagPatch) -> Content:
    """With another name for a tag; with ``merge`` that may be the name of another, and both become one.

    Raises Unknown, and Conflict: there is a tag of that name.
    """
    tags = set(content.tags)
    if tag not in tags:
        raise Unknown(f"the tag set has no tag {tag[:200]!r}; GET it to see those it has")
    if patch.name in tags and patch.name != tag and not patch.merge:
        raise Conflict(f"there is a tag {patch.name!r} already; send merge=true to make one of the two")

    def changed(tags: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({patch.name if one == tag else one for one in tags}))

    return content._replace(items=tuple(item._replace(tags=changed(item.tags)) for item in content.items))


def updated(content: Content, patch: TagSetPatch) -> Content:
    """With what the patch gives."""
    given = {field: getattr(patch, field) for field in patch.__struct_fields__}
    return content._replace(**{field: value for field, value in given.items() if value is not None})


def checked(content: Content) -> Content:
    """``content``, if it keeps the limits. Raises Invalid."""
    if len(content.items) > MAX_ITEMS:
        raise Invalid.field("items", f"a tag set holds at most {MAX_ITEMS} clips, this would be {len(content.items)}")
    if any(len(item.tags) > MAX_ITEM_TAGS for item in content.items):
        raise Invalid.field("items", f"a clip carries at most {MAX_ITEM_TAGS} tags")
    if (count := len(content.tags)) > MAX_TAGS:
        raise Invalid.field("items", f"a tag set holds at most {MAX_TAGS} different tags, this would be {count}")
    return content


def label_sets(content: Content) -> tuple[int, ...]:
    """The clips' tags as bit masks over ``content.tags``."""
    bit = {tag: 1 << i for i, tag in enumerate(content.tags)}
    return tuple(sum(bit[tag] for tag in item.tags) for item in content.items)


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

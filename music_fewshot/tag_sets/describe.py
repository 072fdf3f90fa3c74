"""A tag set as callers see it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from contracts.music_fewshot import SupportItem, TagInfo, TagSet, TagSetSummary
from music_fewshot.tag_sets.content import Content, Item, Stored
from music_fewshot.tag_sets.indexes import Entry
from music_fewshot.tag_sets.store import Header

FEW = 2
"""Clips of a tag from which on more than one clip speaks for it."""
NAMED = 10
"""Names that one warning lists."""


def tag_set(entry: Entry, window: float | None) -> TagSet:
    """``window``: seconds of the embedding's window, where that is known."""
    content = entry.stored.content
    supports = Counter(tag for item in content.items for tag in item.tags)
    return TagSet(
        summary=summary(_header(entry.stored)),
        tags=tuple(TagInfo(name=tag, supports=supports[tag]) for tag in entry.tags),
        items=tuple(support_item(item) for item in content.items),
        combinations=None if entry.combinations is None else str(entry.combinations),
        closed_sets=len(entry.matcher.sets),
        exact=entry.matcher.exact,
        warnings=tuple(warnings(entry, window)),
    )


def summary(header: Header) -> TagSetSummary:
    """A tag set without its clips."""
    return TagSetSummary(**header._asdict())


def support_item(item: Item) -> SupportItem:
    """A clip without its embedding."""
    return SupportItem(
        id=item.id,
        clip=item.clip,
        tags=item.tags,
        seconds=item.seconds,
        windows=item.windows,
        audio_sha256=item.audio_sha256,
    )


def warnings(entry: Entry, window: float | None) -> Iterator[str]:
    """What the tag set can not do well, each with what would help."""
    content = entry.stored.content
    carriers: dict[str, list[int]] = defaultdict(list)
    for position, item in enumerate(content.items):
        for tag in item.tags:
            carriers[tag].append(position)
    if not entry.matcher.exact:
        yield "too many label combinations: lcp and blend know only the clips' own and the single tags (degraded)"
    if few := [tag for tag in entry.tags if len(carriers[tag]) < FEW]:
        yield f"one clip alone speaks for {_names(few)}: add more clips of these tags"
    yield from _inseparable(entry.tags, carriers)
    yield from _everywhere(content, entry.tags, carriers)
    yield from _repeated(content)
    if window is not None and (short := [item.clip for item in content.items if item.seconds < window]):
        yield f"shorter than the {window:.3g} s that the model hears, so repeated to fill them: {_names(short)}"


def _inseparable(tags: Sequence[str], carriers: dict[str, list[int]]) -> Iterator[str]:
    together: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for tag in tags:
        together[tuple(carriers[tag])].append(tag)
    for same in together.values():
        if len(same) > 1:
            yield f"always on the same clips, so alike to every rule: {_names(same)}; add a clip with only some of them"


def _everywhere(content: Content, tags: Sequence[str], carriers: dict[str, list[int]]) -> Iterator[str]:
    every = [tag for tag in tags if len(carriers[tag]) == len(content.items)]
    if every and len(content.items) > 1:
        yield f"on every clip, so told of every clip by lcp: {_names(every)}; add clips without"


def _repeated(content: Content) -> Iterator[str]:
    clips: dict[str, list[str]] = defaultdict(list)
    for item in content.items:
        clips[item.audio_sha256].append(item.clip)
    for same in clips.values():
        if len(same) > 1:
            yield f"the same file more than once, which counts it twice: {_names(same)}; remove one"


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _header(stored: Stored) -> Header:
    content = stored.content
    return Header(
        id=stored.id,
        version=stored.version,
        created=stored.created,
        changed=stored.changed,
        name=content.name,
        description=content.description,
        model=content.model,
        graph_sha256=content.graph_sha256,
        decision=content.decision,
        overflow=content.overflow,
        items=len(content.items),
    )

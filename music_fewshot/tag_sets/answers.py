"""From embedded clips to tags, with the reasons."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.errors import Invalid
from contracts.music_fewshot import (
    Decision,
    Explanation,
    NearClip,
    NearCombination,
    Segment,
    TaggedClip,
    TagOptions,
    TagScore,
)
from music_fewshot.lc_protonets.closed import bits
from music_fewshot.lc_protonets.index import TIE
from music_fewshot.lc_protonets.rules import Decided, cosines, decide
from music_fewshot.service import Embedded
from music_fewshot.tag_sets.indexes import Entry

TOLD_CLIPS = 10
"""Support clips that one combination of an explanation lists."""
INLINE_WORK = 1 << 20
"""Additions of a match from which on a thread takes it: below about 1 ms."""


class Heard(NamedTuple):
    """A clip of a request."""

    name: str
    embedded: Embedded


def decision(own: Decision, options: TagOptions) -> Decision:
    """The tag set's, with what the request says instead. Raises Invalid for an option that the rule has no use for."""
    rule = options.rule or own.rule
    if options.k is not None and rule not in ("topk", "blend"):
        raise Invalid.field("k", f"the rule {rule} takes none; leave it out, or choose the rule topk or blend")
    if options.threshold is not None and rule != "threshold":
        raise Invalid.field("threshold", f"the rule {rule} takes none; leave it out, or choose the rule threshold")
    k = own.k if options.k is None else options.k
    threshold = own.threshold if options.threshold is None else options.threshold
    return Decision(rule=rule, k=k, threshold=threshold)


def work(entry: Entry, clips: Sequence[Heard], options: TagOptions, wanted: Decision) -> int:
    """Additions that the answer takes, about."""
    rows = sum(1 + (len(clip.embedded.windows) if options.segments else 0) for clip in clips)
    found = wanted.rule == "threshold" and wanted.threshold is None and "threshold" not in entry.matcher.memo
    width = len(entry.matcher.extents.members) + entry.matcher.group_sums.size + entry.matcher.label_prototypes.size
    return rows * width + (INLINE_WORK if found else 0)


def answer(
    entry: Entry, clips: Sequence[Heard], options: TagOptions, wanted: Decision, window: float
) -> tuple[tuple[TaggedClip, ...], Decision]:
    """Tags of each clip, and the decision with the numbers it used; ``window``: seconds of the embedding's window.

    Raises Invalid: no threshold can be found.
    """
    queries = np.stack([clip.embedded.embedding for clip in clips])
    decided = decide(entry.matcher, queries, wanted)
    told = tuple(
        TaggedClip(
            clip=clip.name,
            tags=_chosen(entry, decided, row),
            scores=_scores(entry, decided, row, options.scores),
            seconds=clip.embedded.seconds,
            windows=len(clip.embedded.windows),
            explanation=_explanation(entry, queries[row : row + 1], options.explain) if options.explain else None,
            segments=_segments(entry, clip.embedded, wanted, window) if options.segments else None,
            warnings=_warnings(entry, clip.embedded, window),
        )
        for row, clip in enumerate(clips)
    )
    return told, Decision(rule=wanted.rule, k=decided.k, threshold=decided.threshold)


def _chosen(entry: Entry, decided: Decided, row: int) -> tuple[str, ...]:
    order = np.argsort(-decided.scores[row], kind="stable")
    return tuple(entry.tags[i] for i in order if decided.chosen[row, i])


def _scores(entry: Entry, decided: Decided, row: int, most: int) -> tuple[TagScore, ...]:
    """The ``most`` best tags and the chosen ones, best first."""
    scores, chosen = decided.scores[row], decided.chosen[row]
    order = np.argsort(-scores, kind="stable")
    return tuple(
        TagScore(tag=entry.tags[i], score=float(scores[i]), chosen=bool(chosen[i]))
        for rank, i in enumerate(order)
        if rank < most or chosen[i]
    )


def _explanation(entry: Entry, query: np.ndarray, most: int) -> Explanation:
    """``query``: (1, D)"""
    similarities = entry.matcher.similarities(query)[0]
    near = cosines(query.astype(np.float64), entry.matcher.embeddings)[0]
    order = _best_first(similarities)
    margin = float(similarities[order[0]] - similarities[order[1]]) if len(order) > 1 else None
    return Explanation(
        combinations=tuple(
            _combination(entry, position, float(similarities[position]), near) for position in order[:most]
        ),
        margin=None if margin is None else max(0.0, margin),
        nearest=_near_clip(entry, int(near.argmax()), near),
    )


def _best_first(similarities: np.ndarray) -> list[int]:
    """Positions by falling similarity; what ties with the best one as the matcher's rule orders it."""
    order = np.argsort(-similarities, kind="stable")
    ties = similarities[order] >= similarities[order[0]] - TIE
    return [*np.sort(order[ties]).tolist(), *order[~ties].tolist()]


def _combination(entry: Entry, position: int, similarity: float, near: np.ndarray) -> NearCombination:
    extent = entry.matcher.extent(position)
    nearest = extent[np.argsort(-near[extent], kind="stable")][:TOLD_CLIPS]
    return NearCombination(
        tags=tuple(entry.tags[i] for i in bits(entry.matcher.sets[position])),
        similarity=similarity,
        clips=tuple(_near_clip(entry, int(item), near) for item in nearest),
        support=len(extent),
    )


def _near_clip(entry: Entry, position: int, near: np.ndarray) -> NearClip:
    item = entry.stored.content.items[position]
    return NearClip(item=item.id, clip=item.clip, similarity=float(near[position]))


def _segments(entry: Entry, embedded: Embedded, wanted: Decision, window: float) -> tuple[Segment, ...]:
    decided = decide(entry.matcher, embedded.windows, wanted)
    return tuple(
        Segment(
            start=row * window,
            end=min((row + 1) * window, embedded.seconds),
            tags=_chosen(entry, decided, row),
        )
        for row in range(len(embedded.windows))
    )


def _warnings(entry: Entry, embedded: Embedded, window: float) -> tuple[str, ...]:
    said: list[str] = []
    if embedded.seconds < window:
        said.append(f"shorter than the {window:.3g} s that the model hears, so repeated to fill them")
    same = [item.clip for item in entry.stored.content.items if item.audio_sha256 == embedded.sha256]
    if same:
        said.append(f"this file is a support clip of the tag set itself ({same[0]!r}): the answer is no test of it")
    return tuple(said)

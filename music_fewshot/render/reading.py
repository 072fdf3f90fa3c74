"""A score in ABC becomes a tune, through music21."""

import contextlib
import re
import warnings
from itertools import pairwise
from typing import Any

from music_fewshot.render.scores import Score
from music_fewshot.render.tune import Note, Tune, bar_length

METRE_LINE = re.compile(r"(?m)^M: *(\S+)")
METRE_OF = {"C": "4/4", "C|": "4/4", "2/2": "4/4"} | {metre: metre for metre in ("2/4", "3/4", "4/4", "6/8", "9/8")}

SHORTEST_TUNE, SHORTEST_NOTES = 8, 24
"""Bars and notes below which a tune is no tune."""
LONGEST_REST = 2.0
"""Quarter notes; a longer silence would leave a clip empty."""


def metre_of(score: Score) -> str | None:
    """The one metre of a score; None when it has several, or one that is not ours."""
    told = METRE_LINE.findall(score.abc)
    metres = {METRE_OF.get(one) for one in told}
    changes = "[M:" in score.abc or re.search(r"(?m)^V:", score.abc)  # voices would sound at once
    return metres.pop() if len(metres) == 1 and not changes else None


def read(score: Score) -> Tune | None:
    """The tune of a score as it is written, repeats taken once.

    None when it is not of use here: no or many metres, too short, too silent, or nothing that music21 can read.
    Needs music21.
    """
    metre = metre_of(score)
    if metre is None:
        return None
    from music21.abcFormat import ABCFile, translate

    # music21 has no error of its own for bad ABC: broken scores raise whatever the line at fault raises.
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        return _tune(score, metre, translate.abcToStreamScore(ABCFile().readstr(score.abc)))
    return None


def _tune(score: Score, metre: str, stream: Any) -> Tune | None:
    part = stream.parts[0]
    bars = [float(bar.offset) for bar in part.getElementsByClass("Measure")]
    end = float(part.duration.quarterLength)
    notes = _notes(part.stripTies().flatten())
    silences = [after.start - one.start - one.length for one, after in pairwise(notes)]
    if len(bars) < SHORTEST_TUNE or len(notes) < SHORTEST_NOTES or max(silences) > LONGEST_REST:
        return None
    whole = sum(abs(b - a - bar_length(metre)) < 1e-6 for a, b in zip(bars, [*bars[1:], end], strict=True))
    if whole < 0.8 * len(bars):  # bars that do not add up: the beat would lie between the notes
        return None
    keys = part.flatten().getElementsByClass("KeySignature")
    tonic, minor = _key(keys[0] if keys else None)
    return Tune(score.id, score.source, score.source, metre, tonic, minor, notes, (*bars, end))


def _notes(flat: Any) -> tuple[Note, ...]:
    """The melody: of a chord its highest note. Chord symbols and grace notes last nothing, and are left out."""
    found = [
        Note(float(one.offset), float(one.quarterLength), max(pitch.midi for pitch in one.pitches))
        for one in flat.notes
        if one.quarterLength > 0 and one.pitches
    ]
    found.sort()
    kept = [
        one for one, after in zip(found, [*found[1:], None], strict=True) if after is None or after.start > one.start
    ]
    ends = [after.start for after in kept[1:]]
    return tuple(
        one._replace(length=min(one.length, end - one.start)) for one, end in zip(kept, [*ends, 1e9], strict=True)
    )


def _key(key: Any) -> tuple[int, bool]:
    """Tonic as a pitch class, and whether its third is minor."""
    if key is None:
        return 0, False
    if not hasattr(key, "tonic"):  # accidentals alone: taken for major
        key = key.asKey("major")
    return key.tonic.pitchClass, key.mode in ("minor", "dorian", "phrygian", "aeolian", "locrian")

"""A tune: one melody, and where its bars begin."""

from typing import NamedTuple

METRES = ("2/4", "3/4", "4/4", "6/8", "7/8", "9/8")
"""What a tune may be in. Cut time counts as 4/4: its bars are as long."""


class Note(NamedTuple):
    start: float
    """Quarter notes since the tune began."""
    length: float
    """Quarter notes."""
    pitch: int
    """MIDI number."""


class Tune(NamedTuple):
    id: str
    """Unique in the corpus; says where the tune stands."""
    source: str
    """Key of ``scores.SOURCES``."""
    tradition: str
    metre: str
    """One of ``METRES``."""
    tonic: int
    """Pitch class: 0 is C."""
    minor: bool
    """The third above the tonic is minor."""
    notes: tuple[Note, ...]
    """In time; none overlaps the next."""
    bars: tuple[float, ...]
    """Where bars begin, and at last where the tune ends, in quarter notes."""


def bar_length(metre: str) -> float:
    """Quarter notes: 3.0 for 6/8."""
    count, unit = map(int, metre.split("/"))
    return 4 * count / unit


def beat_length(metre: str) -> float:
    """Quarter notes: what a listener taps. Three quavers in 6/8 and 9/8, two in 7/8 (whose last beat has three)."""
    return 1.5 if metre in ("6/8", "9/8") else 1.0


def beats(metre: str) -> tuple[float, ...]:
    """Where the beats of a bar fall, in quarter notes."""
    if metre == "7/8":
        return (0.0, 1.0, 2.0)  # 2 + 2 + 3
    step = beat_length(metre)
    return tuple(step * i for i in range(round(bar_length(metre) / step)))

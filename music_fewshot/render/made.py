"""Tunes made here: in scales and metres that the open scores lack.

Two strains of eight bars; each opens with a figure that comes back, moves mostly by step, and ends on the tonic.
"""

import random
from typing import NamedTuple

from music_fewshot.render.tune import Note, Tune, bar_length


class Style(NamedTuple):
    """What a made tune is like. Its name is the tune's tradition."""

    scale: tuple[int, ...]
    """Semitones above the tonic, within an octave."""
    metres: tuple[str, ...]


STYLES = {
    "made pentatonic": Style((0, 2, 4, 7, 9), ("2/4", "4/4")),
    "made dorian": Style((0, 2, 3, 5, 7, 9, 10), ("3/4", "6/8", "7/8", "9/8")),
    "made phrygian dominant": Style((0, 1, 4, 5, 7, 8, 10), ("2/4", "7/8", "9/8")),
}

FIGURES = {
    "2/4": ((1, 1), (0.5, 0.5, 1), (0.5, 0.5, 0.5, 0.5), (0.75, 0.25, 1), (1, 0.5, 0.5), (0.25, 0.25, 0.5, 1)),
    "3/4": ((1, 1, 1), (2, 1), (1, 0.5, 0.5, 1), (1.5, 0.5, 1), (0.5, 0.5, 0.5, 0.5, 1), (1, 2)),
    "4/4": ((1, 1, 1, 1), (1, 0.5, 0.5, 1, 1), (0.5,) * 8, (1.5, 0.5, 1, 1), (2, 1, 1), (0.5, 0.5, 1, 0.5, 0.5, 1)),
    "6/8": ((1, 0.5, 1, 0.5), (0.5,) * 6, (1.5, 0.5, 0.5, 0.5), (1, 0.5, 1.5), (0.5, 0.5, 0.5, 1, 0.5)),
    "7/8": ((1, 1, 1.5), (0.5, 0.5, 1, 1, 0.5), (0.5,) * 7, (1, 0.5, 0.5, 0.5, 0.5, 0.5), (1, 1, 1, 0.5)),
    "9/8": ((1, 0.5, 1, 0.5, 1, 0.5), (0.5,) * 9, (1.5, 1, 0.5, 1.5), (0.5, 0.5, 0.5, 1, 0.5, 1.5), (1, 0.5, 1.5, 1.5)),
}
"""Lengths of the notes of one bar, in quarter notes."""

STEPS = (-3, -2, -1, -1, -1, 0, 1, 1, 1, 2, 4)
"""Degrees of the scale from one note to the next."""
STRAIN = 8
"""Bars."""


def make(style: str, number: int, seed: int) -> Tune:
    """Tune ``number`` of a style. The same seed gives the same tune."""
    one, draw = STYLES[style], random.Random(f"{seed} {style} {number}")
    metre = one.metres[number % len(one.metres)]
    tonic = draw.randrange(12)
    bars = [bar for _ in range(2) for bar in _strain(draw, one, metre)]
    notes: list[Note] = []
    for place, bar in enumerate(bars):
        start = place * bar_length(metre)
        for length, degree in bar:
            notes.append(Note(start, length, _pitch(one.scale, tonic, degree)))
            start += length
    ends = tuple(place * bar_length(metre) for place in range(len(bars) + 1))
    name = f"{style.replace(' ', '-')}#{number}"
    return Tune(name, "made", style, metre, tonic, 3 in one.scale, tuple(notes), ends)


Bar = list[tuple[float, int]]
"""Length in quarter notes, and degree of the scale (0 is the tonic), note by note."""


def _strain(draw: random.Random, style: Style, metre: str) -> list[Bar]:
    """a b a c, a b d e: e ends on the tonic."""
    degree = draw.choice((0, 2, len(style.scale) // 2))
    made: dict[str, Bar] = {}
    for name in "abcde":
        figure = draw.choice(FIGURES[metre])
        made[name] = []
        for length in figure:
            made[name].append((length, degree))
            degree = _within(degree + draw.choice(STEPS), len(style.scale))
    made["e"][-1] = (made["e"][-1][0], 0)
    return [made[name] for name in "abacabde"[:STRAIN]]


def _within(degree: int, octave: int) -> int:
    """Turned back at the ends of the range: a fourth below the tonic, a tenth above it."""
    low, high = -(octave // 2), octave + octave // 2
    return 2 * low - degree if degree < low else 2 * high - degree if degree > high else degree


def _pitch(scale: tuple[int, ...], tonic: int, degree: int) -> int:
    octave, step = divmod(degree, len(scale))
    return 60 + tonic + 12 * octave + scale[step]

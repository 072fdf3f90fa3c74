"""What may be said of a clip with certainty. Every clip has its full set of tags.

An instrument is a program of General MIDI. Three are frequent, so that they fall under the base tags; the rest are
rare and become the novel ones (the loader takes the most frequent 60 % as base).
"""

from typing import NamedTuple

FREQUENT, RARE = 3.4, 1.0
"""Weights of the draw."""


class Instrument(NamedTuple):
    program: int
    """General MIDI, counted from 0."""
    family: str
    centre: int
    """MIDI number about which its melodies lie."""
    weight: float = RARE


INSTRUMENTS = {
    "violin": Instrument(40, "bowed", 76, FREQUENT),
    "cello": Instrument(42, "bowed", 52),
    "fiddle": Instrument(110, "bowed", 72),
    "guitar": Instrument(24, "plucked", 62),
    "banjo": Instrument(105, "plucked", 64),
    "sitar": Instrument(104, "plucked", 60),
    "koto": Instrument(107, "plucked", 66),
    "harp": Instrument(46, "plucked", 68),
    "kalimba": Instrument(108, "plucked", 72),
    "flute": Instrument(73, "wind", 80, FREQUENT),
    "clarinet": Instrument(71, "wind", 66),
    "bagpipe": Instrument(109, "wind", 70),
    "shanai": Instrument(111, "wind", 72),
    "trumpet": Instrument(56, "brass", 70),
    "tuba": Instrument(58, "brass", 41),
    "piano": Instrument(0, "keyboard", 68, FREQUENT),
    "harpsichord": Instrument(6, "keyboard", 66),
    "accordion": Instrument(21, "keyboard", 70),
    "dulcimer": Instrument(15, "struck", 68),
    "marimba": Instrument(12, "struck", 64),
    "steel drums": Instrument(114, "struck", 70),
}

BASS_PROGRAM, DRONE_PROGRAM = 32, 20
"""Acoustic bass and reed organ: what accompanies is told by its role, never by its instrument."""

TEMPI = {"slow": (58.0, 76.0), "medium": (96.0, 120.0), "fast": (150.0, 184.0)}
"""Beats per minute, lowest and highest. The classes leave gaps, so that a clip is in one of them beyond doubt."""

ROLES = {"percussion": 0.45, "bass": 0.45, "drone": 0.35, "duet": 0.45}
"""Chance of each."""

FAMILIES = tuple(dict.fromkeys(one.family for one in INSTRUMENTS.values()))
SEPARATOR = "|"
"""Between the tags of a row."""


def kind(tag: str) -> str:
    """What sort of thing a tag says."""
    groups = {"instrument": INSTRUMENTS, "family": FAMILIES, "tempo": TEMPI, "role": ROLES}
    return next((name for name, group in groups.items() if tag in group), "metre" if "/" in tag else "tradition")

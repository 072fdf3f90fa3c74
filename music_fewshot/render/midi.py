"""Many clips as one Standard MIDI File (format 0), one after another with a silence between."""

import struct
from collections.abc import Iterable, Iterator, Sequence

from music_fewshot.render.arrange import DRUMS, Clip

GAP = 0.25
"""Seconds between two clips. Every channel is silenced at a clip's end, so nothing sounds in it."""
TICKS = 1000
"""To the second: 500 to a quarter note that lasts half a second."""
SOUND_OFF = 120
"""Controller that ends all sound of a channel at once, tails included."""

_END, _PROGRAM, _START, _SILENCE = range(4)
"""Order of events in one tick. Ends come before beginnings, or a note struck again would never end."""


def starts(clips: int, seconds: float) -> tuple[float, ...]:
    """Where each clip begins, in seconds."""
    return tuple(place * (seconds + GAP) for place in range(clips))


def midi(clips: Sequence[Clip], seconds: float) -> bytes:
    """The file. A note that would end in the tick where it begins is given one tick more."""
    events = sorted(
        event
        for clip, start in zip(clips, starts(len(clips), seconds), strict=True)
        for event in _events(clip, round(start * TICKS), round((start + seconds) * TICKS))
    )
    track = bytearray(b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big"))  # microseconds to a quarter note
    now = 0
    for tick, _, message in events:
        track += _variable(tick - now) + message
        now = tick
    track += _variable(round(GAP * TICKS)) + b"\xff\x2f\x00"
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS // 2)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + bytes(track)


def _events(clip: Clip, begin: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """(tick, order within it, message)"""
    for channel, program in clip.programs.items():
        yield begin, _PROGRAM, bytes((0xC0 | channel, program))
    for note in clip.notes:
        on = begin + round(note.start * TICKS)
        off = max(on + 1, begin + round(note.end * TICKS))
        yield on, _START, bytes((0x90 | note.channel, note.pitch, note.velocity))
        yield off, _END, bytes((0x80 | note.channel, note.pitch, 0))
    for channel in sorted({*clip.programs, DRUMS}):
        yield end, _SILENCE, bytes((0xB0 | channel, SOUND_OFF, 0))


def _variable(number: int) -> bytes:
    """Seven bits a byte, the highest bit set on all but the last."""
    groups: Iterable[int] = [number & 0x7F]
    while number := number >> 7:
        groups = [0x80 | number & 0x7F, *groups]
    return bytes(groups)

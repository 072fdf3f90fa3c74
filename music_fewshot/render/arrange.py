"""A tune becomes a clip: who plays it, how fast, from which bar, over what accompaniment."""

import random
import statistics
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from music_fewshot.render import tags
from music_fewshot.render.tune import Note, Tune, bar_length, beat_length, beats

LEAD, SECOND, BASS, DRONE, DRUMS = 0, 1, 2, 3, 9
"""MIDI channels; General MIDI keeps the tenth for drums."""
LOUDNESS = {LEAD: 100, SECOND: 86, BASS: 88, DRONE: 58, DRUMS: 84}
"""Velocities, give or take ``JITTER``."""
JITTER = 8
LOWEST, HIGHEST = 28, 103
"""MIDI numbers; what lies outside is moved by octaves."""
LEGATO = 0.95
"""Share of its length that a note sounds."""
SHORTEST = 0.02
"""Seconds. What is shorter is dropped: FluidSynth never ends a note whose end does not follow its beginning."""
KITS = ((36, 38, 42), (64, 63, 54), (41, 45, 70))
"""Drums of a bar's first beat, of its other beats, and of what lies between: a kit, congas with a tambourine, toms with
maracas."""


class Sounding(NamedTuple):
    start: float
    """Seconds since the clip began."""
    end: float
    channel: int
    pitch: int
    velocity: int


class Clip(NamedTuple):
    id: str
    tune: Tune
    tags: tuple[str, ...]
    programs: dict[int, int]
    """Of each channel but the drums'."""
    notes: tuple[Sounding, ...]
    bpm: float
    """Beats a minute."""


def arrange(tune: Tune, name: str, seconds: float, seed: int) -> Clip:
    """The clip ``name`` of a tune. The same seed and name give the same clip."""
    draw = random.Random(f"{seed} clip {name}")
    tempo = draw.choice(tuple(tags.TEMPI))
    bpm = draw.uniform(*tags.TEMPI[tempo])
    roles = [role for role, chance in tags.ROLES.items() if draw.random() < chance]
    players = _players(draw, 2 if "duet" in roles else 1)
    section = _section(tune, draw, 60 / bpm / beat_length(tune.metre), seconds, draw.randint(-3, 3))
    programs = {channel: tags.INSTRUMENTS[who].program for channel, who in enumerate(players)}
    parts = [(LEAD + i, _placed(section.melody, tags.INSTRUMENTS[who].centre)) for i, who in enumerate(players)]
    if "bass" in roles:
        programs[BASS] = tags.BASS_PROGRAM
        parts.append((BASS, _bass(section)))
    if "drone" in roles:
        programs[DRONE] = tags.DRONE_PROGRAM
        parts.append((DRONE, [Note(0.0, seconds / LEGATO, 48 + section.tonic + fifth) for fifth in (0, 7)]))
    if "percussion" in roles:
        parts.append((DRUMS, _drums(section, draw.choice(KITS))))
    families = dict.fromkeys(tags.INSTRUMENTS[who].family for who in players)
    told = (*players, *families, *roles, tempo, tune.metre, tune.tradition)
    notes = tuple(_sounding(parts, seconds, draw))
    return Clip(name, tune, told, programs, notes, bpm)


def _players(draw: random.Random, number: int) -> tuple[str, ...]:
    """The lead, and for a duet another instrument."""
    names = list(tags.INSTRUMENTS)
    first = draw.choices(names, [tags.INSTRUMENTS[name].weight for name in names])[0]
    rest = [name for name in names if name != first]
    second = draw.choices(rest, [tags.INSTRUMENTS[name].weight for name in rest])
    return (first, *second[: number - 1])


class _Section(NamedTuple):
    """The part of a tune that a clip holds; times in seconds since the clip began."""

    melody: tuple[Note, ...]
    bars: tuple[tuple[float, tuple[float, ...]], ...]
    """Of each bar: its length, and where its beats fall."""
    tonic: int
    minor: bool


def _section(tune: Tune, draw: random.Random, quarter: float, seconds: float, shift: int) -> _Section:
    """From a bar drawn at random, over the end to the beginning again where the tune is too short.

    ``quarter``: seconds of a quarter note. ``shift``: semitones.
    """
    begin = draw.choice(tune.bars[:-1])
    around = tune.bars[-1] - tune.bars[0]

    def turns(starts: Iterable[float]) -> Iterator[tuple[int, float]]:
        """Place in ``starts``, and seconds, of all that begins within the clip."""
        places = tuple(starts)
        for turn in count():
            times = [(place, (start + turn * around - begin) * quarter) for place, start in enumerate(places)]
            yield from (one for one in times if -1e-9 <= one[1] < seconds)
            if times[-1][1] >= seconds:
                return

    melody = tuple(
        Note(time, tune.notes[place].length * quarter, tune.notes[place].pitch + shift)
        for place, time in turns(note.start for note in tune.notes)
    )
    bars = []
    for place, time in turns(tune.bars[:-1]):
        length = tune.bars[place + 1] - tune.bars[place]
        # An upbeat is the end of a bar: its beats are counted from the end.
        missing = bar_length(tune.metre) - length
        falls = [
            time + (beat - missing) * quarter for beat in beats(tune.metre) if -1e-6 < beat - missing < length - 1e-6
        ]
        bars.append((length * quarter, tuple(falls)))
    return _Section(melody, tuple(bars), (tune.tonic + shift) % 12, tune.minor)


def _placed(melody: Iterable[Note], centre: int) -> list[Note]:
    """Moved by octaves to where the instrument sounds like itself."""
    notes = list(melody)
    octaves = round((centre - statistics.median(note.pitch for note in notes)) / 12) if notes else 0
    return [note._replace(pitch=_within(note.pitch + 12 * octaves)) for note in notes]


def _within(pitch: int) -> int:
    while pitch < LOWEST:
        pitch += 12
    while pitch > HIGHEST:
        pitch -= 12
    return pitch


def _bass(section: _Section) -> list[Note]:
    """Root and fifth in turn, on the beats, of the triad that holds most of the bar's melody."""
    notes = []
    for length, falls in section.bars:
        if not falls:
            continue
        sung = [note for note in section.melody if falls[0] - 1e-6 <= note.start < falls[0] + length - 1e-6]
        third = 3 if section.minor else 4

        def held(root: int, sung: list[Note] = sung, third: int = third) -> float:
            triad = {(section.tonic + root + step) % 12 for step in (0, third, 7)}
            return sum(note.length for note in sung if note.pitch % 12 in triad)

        root = 28 + (section.tonic + max((0, 5, 7), key=held) - 4) % 12  # between E1 and D sharp 2
        ends = (*falls[1:], falls[0] + length)
        notes += [
            Note(fall, end - fall, root + 7 * (place % 2))
            for place, (fall, end) in enumerate(zip(falls, ends, strict=True))
        ]
    return notes


def _drums(section: _Section, kit: tuple[int, int, int]) -> list[Note]:
    first, other, between = kit
    notes = []
    for length, falls in section.bars:
        for place, fall in enumerate(falls):
            step = (falls[place + 1] if place + 1 < len(falls) else falls[0] + length) - fall
            notes.append(Note(fall, step / 2, other if place else first))
            notes.append(Note(fall + step / 2, step / 2, between))
    return notes


def _sounding(parts: Iterable[tuple[int, list[Note]]], seconds: float, draw: random.Random) -> Iterator[Sounding]:
    """Times cut at the clip's end, velocities drawn, what is too short dropped."""
    for channel, notes in parts:
        for note in notes:
            end = min(note.start + LEGATO * note.length, seconds)
            velocity = LOUDNESS[channel] + draw.randint(-JITTER, JITTER)
            start = max(note.start, 0.0)
            if end - start >= SHORTEST:
                yield Sounding(start, end, channel, note.pitch, velocity)

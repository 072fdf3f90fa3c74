"""MIDI files, read back by music21's own reader."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music_fewshot.render.arrange import DRUMS, Clip, Sounding, arrange
from music_fewshot.render.made import STYLES, make
from music_fewshot.render.midi import GAP, TICKS, midi, starts

reader = pytest.importorskip("music21.midi", reason="needs music21: pip install 'kithara[render]'")


def events(content: bytes) -> list[tuple[int, str, int, int]]:
    """(tick, kind, channel from 0, pitch or -1) of notes and silences, in the order of the file."""
    file = reader.MidiFile()
    file.readstr(content)
    assert (file.format, file.ticksPerQuarterNote, len(file.tracks)) == (0, TICKS // 2, 1)
    now, found = 0, []
    for event in file.tracks[0].events:
        if event.isDeltaTime():
            now += event.time
        elif event.type.name in ("NOTE_ON", "NOTE_OFF", "ALL_SOUND_OFF"):
            found.append((now, event.type.name, event.channel - 1, event.pitch if "NOTE" in event.type.name else -1))
    return found


@settings(max_examples=20)
@given(st.sampled_from(sorted(STYLES)), st.integers(0, 20), st.integers(1, 4))
def test_every_note_stands_where_its_clip_says(style, number, count):
    clips = [arrange(make(style, number, 0), f"{number}_{i}", 4.0, 0) for i in range(count)]
    found = events(midi(clips, 4.0))
    on = sorted((tick, channel, pitch) for tick, kind, channel, pitch in found if kind == "NOTE_ON")
    expected = sorted(
        (round(begin * TICKS) + round(note.start * TICKS), note.channel, note.pitch)
        for begin, clip in zip(starts(count, 4.0), clips, strict=True)
        for note in clip.notes
    )
    assert on == expected


@settings(max_examples=20)
@given(st.lists(st.tuples(st.floats(0, 1.9), st.floats(0, 0.3), st.integers(60, 63)), min_size=1, max_size=30))
def test_no_note_stays_on_and_silence_follows_every_clip(drawn):
    """Also where notes last nothing, or begin where another of their pitch ends."""
    notes = tuple(Sounding(start, min(start + length, 2.0), 0, pitch, 90) for start, length, pitch in drawn)
    clip = Clip("x", make("made dorian", 0, 0), (), {0: 40}, notes, 100)
    found = events(midi([clip, clip], 2.0))
    sounding: set[int] = set()
    for tick, kind, channel, pitch in found:
        if kind == "NOTE_ON":
            sounding.add(pitch)
        elif kind == "NOTE_OFF":
            sounding.discard(pitch)
        else:
            assert tick % round((2.0 + GAP) * TICKS) == round(2.0 * TICKS)
            assert not sounding
            assert channel in (0, DRUMS)
    assert not sounding
    assert sum(kind == "ALL_SOUND_OFF" for _, kind, *_ in found) == 4


def test_an_end_comes_before_the_beginning_that_it_meets():
    notes = (Sounding(0.0, 0.5, 0, 60, 90), Sounding(0.5, 1.0, 0, 60, 90))
    found = events(midi([Clip("x", make("made dorian", 0, 0), (), {0: 0}, notes, 100)], 2.0))
    assert [(tick, kind) for tick, kind, *_ in found if kind.startswith("NOTE")] == [
        (0, "NOTE_ON"),
        (500, "NOTE_OFF"),
        (500, "NOTE_ON"),
        (1000, "NOTE_OFF"),
    ]

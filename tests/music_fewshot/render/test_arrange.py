"""Clips: every tag is true, and no note is one that FluidSynth could not end."""

from itertools import pairwise
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from music_fewshot.render.arrange import (
    BASS,
    DRONE,
    DRUMS,
    HIGHEST,
    KITS,
    LEAD,
    LOWEST,
    SECOND,
    SHORTEST,
    Clip,
    arrange,
)
from music_fewshot.render.made import STYLES, make
from music_fewshot.render.tags import INSTRUMENTS, ROLES, TEMPI, kind
from music_fewshot.render.tune import Note, Tune, beat_length

tunes = st.builds(make, st.sampled_from(sorted(STYLES)), st.integers(0, 50), st.integers(0, 3))
names = st.integers(0, 10**6).map(str)

CHANNELS = {"duet": SECOND, "bass": BASS, "drone": DRONE, "percussion": DRUMS}


def of_kind(clip: Clip, what: str) -> list[str]:
    return [tag for tag in clip.tags if kind(tag) == what]


@given(tunes, names)
def test_tags_say_what_plays(tune, name):
    clip = arrange(tune, name, 6.0, 0)
    sounding = {note.channel for note in clip.notes}
    for role in ROLES:
        assert (role in clip.tags) == (CHANNELS[role] in sounding), role
    players = of_kind(clip, "instrument")
    assert [INSTRUMENTS[who].program for who in players] == [clip.programs[c] for c in (LEAD, SECOND) if c in sounding]
    assert set(of_kind(clip, "family")) == {INSTRUMENTS[who].family for who in players}
    assert (of_kind(clip, "metre"), of_kind(clip, "tradition")) == ([tune.metre], [tune.tradition])
    assert len(set(clip.tags)) == len(clip.tags)
    (tempo,) = of_kind(clip, "tempo")
    low, high = TEMPI[tempo]
    assert low <= clip.bpm <= high


@given(tunes, names, st.floats(2, 12))
def test_every_note_can_be_played(tune, name, seconds):
    for note in arrange(tune, name, seconds, 0).notes:
        assert 0 <= note.start < note.end <= seconds
        assert note.end - note.start >= SHORTEST - 1e-12
        assert LOWEST <= note.pitch <= HIGHEST
        assert 1 <= note.velocity <= 127


@given(tunes, names)
def test_the_lead_plays_the_tune(tune, name):
    """Time by time and pitch class by pitch class, up to one transposition, from some bar on, round and round."""
    clip = arrange(tune, name, 6.0, 0)
    lead = [note for note in clip.notes if note.channel == LEAD]
    quarter = 60 / clip.bpm / beat_length(tune.metre)
    end = tune.bars[-1]
    rounds = [(note.start + end * turn, note.pitch) for turn in range(5) for note in tune.notes]

    def same(begin: float) -> bool:
        expected = [((start - begin) * quarter, pitch) for start, pitch in rounds if start >= begin - 1e-9]
        expected = [one for one in expected if one[0] < 6.0 - SHORTEST / 0.9][: len(lead)]
        shifts = {(note.pitch - pitch) % 12 for note, (_, pitch) in zip(lead, expected, strict=False)}
        starts = [start for start, _ in expected] == pytest.approx([note.start for note in lead[: len(expected)]])
        return len(shifts) == 1 and starts

    assert lead
    assert any(same(begin) for begin in tune.bars[:-1])


@given(tunes, names)
def test_the_same_seed_and_name_make_the_same_clip(tune, name):
    assert arrange(tune, name, 5.0, 1) == arrange(tune, name, 5.0, 1)
    assert arrange(tune, name, 5.0, 1) != arrange(tune, name, 5.0, 2)


def even(metre: str, bar: float, upbeat: float = 0.0) -> Tune:
    """Quarter notes on the tonic triad, after an upbeat."""
    bars = tuple(([0.0] if upbeat else []) + [upbeat + bar * i for i in range(13)])
    notes = tuple(Note(float(i), 1.0, 60 + (0, 4, 7)[i % 3]) for i in range(int(bars[-1])))
    return Tune("even", "made", "made dorian", metre, 0, False, notes, bars)


@given(names)
def test_drums_and_bass_keep_the_bars_also_after_an_upbeat(name):
    """Of a jig whose upbeat is a quaver: the bar's first drum falls on every bar and nowhere else."""
    tune = even("6/8", 3.0, upbeat=0.5)
    clip = arrange(tune, name, 6.0, 0)
    quarter = 60 / clip.bpm / 1.5
    drums = [note for note in clip.notes if note.channel == DRUMS]
    firsts = [note.start / quarter for note in drums if note.pitch in {kit[0] for kit in KITS}]
    assert all(
        step == pytest.approx(3.0) or step == pytest.approx(3.5) for step in (b - a for a, b in pairwise(firsts))
    )
    bass = [note.start / quarter for note in clip.notes if note.channel == BASS]
    assert all(step >= 1.5 - 1e-6 for step in (b - a for a, b in pairwise(bass)))


@given(tunes, names)
def test_melodies_lie_where_their_instrument_is_at_home(tune, name):
    clip = arrange(tune, name, 6.0, 0)
    for channel, who in zip((LEAD, SECOND), of_kind(clip, "instrument"), strict=False):
        middle = median(note.pitch for note in clip.notes if note.channel == channel)
        assert abs(middle - INSTRUMENTS[who].centre) <= 6.5


@given(names)
def test_a_slow_clip_is_slow_and_a_fast_one_fast(name):
    """Beat by beat, from the times of the lead alone."""
    clip = arrange(even("3/4", 3.0), name, 6.0, 0)
    starts = [note.start for note in clip.notes if note.channel == LEAD]
    bpm = 60 * len(list(pairwise(starts))) / (starts[-1] - starts[0])
    nearest = min(TEMPI, key=lambda tempo: abs(sum(TEMPI[tempo]) / 2 - bpm))
    assert of_kind(clip, "tempo") == [nearest]

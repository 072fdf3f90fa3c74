"""Tunes: read from ABC, and made here."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from music_fewshot.render import made, reading, scores
from music_fewshot.render.presets import PRESETS
from music_fewshot.render.scores import SOURCES, Score
from music_fewshot.render.tune import METRES, bar_length, beats

HEAD = "X:1\nT:{title}\nM:{metre}\nL:1/8\nK:{key}\n"


def score(body: str, *, metre: str = "2/4", key: str = "D", title: str = "One") -> Score:
    return Score("here#1", "irish", HEAD.format(title=title, metre=metre, key=key) + body + "\n")


@pytest.fixture
def music21():
    return pytest.importorskip("music21", reason="needs music21: pip install 'kithara[render]'")


@pytest.mark.usefixtures("music21")
def test_a_score_is_read_note_by_note():
    """Upbeat, chord symbols (one over a rest), grace notes, a tie over the bar, a chord, a triplet, sharps."""
    body = 'A|"D"d2 {ef}f2-|f2 [DFA]2|(3ABc d2|d2 "G"z2|' + "dc d2|" * 6 + "d4|"
    tune = reading.read(score(body))
    assert tune is not None
    thirds = [(round(start, 4), round(length, 4), pitch) for start, length, pitch in tune.notes[:10]]
    assert thirds == [
        (0.0, 0.5, 69),
        (0.5, 1.0, 74),
        (1.5, 2.0, 78),
        (3.5, 1.0, 69),
        (4.5, 0.3333, 69),
        (4.8333, 0.3333, 71),
        (5.1667, 0.3333, 73),
        (5.5, 1.0, 74),
        (6.5, 1.0, 74),
        (8.5, 0.5, 74),
    ]
    assert tune.bars[:4] == (0.0, 0.5, 2.5, 4.5)
    assert (tune.metre, tune.tonic, tune.minor, tune.bars[-1]) == ("2/4", 2, False, 22.5)


@pytest.mark.usefixtures("music21")
@pytest.mark.parametrize(("key", "tonic", "minor"), [("Gm", 7, True), ("F", 5, False), ("EDor", 4, True)])
def test_the_key_is_told(key, tonic, minor):
    tune = reading.read(score("ABcd|" * 8, key=key))
    assert tune is not None
    assert (tune.tonic, tune.minor) == (tonic, minor)


@pytest.mark.usefixtures("music21")
@pytest.mark.parametrize(
    "useless",
    [
        score("ABcd|" * 4),  # too short
        score("ABcd|z4|z4|" * 8),  # too silent
        score("ABcde|" * 8),  # bars that do not add up
        score("ABcd|" * 8, metre="5/4"),
        score("ABcd|" * 4 + "[M:3/4]ABcdef|" * 4),
        score("ABcd|" * 4 + "\nM:3/4\n" + "ABcdef|" * 4),
        score("\nV:1\n" + "ABcd|" * 8 + "\nV:2\n" + "ABcd|" * 8),
        score("((((|[[[|" * 8),
        Score("here#2", "irish", "X:2\nT:nothing\n"),
    ],
)
def test_what_is_of_no_use_is_passed_over(useless):
    assert reading.read(useless) is None


def test_cut_time_counts_as_four_quarters():
    assert reading.metre_of(score("", metre="C|")) == reading.metre_of(score("", metre="C")) == "4/4"


def test_titles_are_compared_without_articles_and_order():
    names = [
        score("", title=title).titles for title in ("The Lads of the Village", "Lads of the Village, The", "Other")
    ]
    assert names[0] == names[1] != names[2]


def test_presets_whose_models_are_published_use_open_scores_only():
    for name in ("starter", "small"):
        sources = {"made" if one in made.STYLES else one for one in PRESETS[name].traditions}
        assert {SOURCES[one].use for one in sources} == {"open"}
        assert not any("essen" in SOURCES[one].files for one in sources)


@pytest.mark.usefixtures("music21")
def test_scores_come_in_the_order_of_the_seed():
    first, again, other = ([one.id for one in scores.shuffled("american", seed)] for seed in (0, 0, 1))
    assert first == again != other
    assert sorted(first) == sorted(other)
    assert len(set(first)) == len(first) > 900


@pytest.mark.usefixtures("music21")
def test_a_region_is_kept_apart_from_the_rest_of_its_collection():
    assert all("\nO: China" in one.abc for one in scores.shuffled("chinese", 0))


@given(st.sampled_from(sorted(made.STYLES)), st.integers(0, 500), st.integers(0, 5))
def test_made_tunes_keep_to_their_scale_and_bars(style, number, seed):
    tune = made.make(style, number, seed)
    assert tune == made.make(style, number, seed)
    assert {(note.pitch - tune.tonic) % 12 for note in tune.notes} <= set(made.STYLES[style].scale)
    assert tune.notes[-1].pitch % 12 == tune.tonic
    ends = [note.start + note.length for note in tune.notes]
    assert ends == pytest.approx([*(note.start for note in tune.notes[1:]), tune.bars[-1]])
    assert {round(note.start, 6) for note in tune.notes} >= {round(bar, 6) for bar in tune.bars[:-1]}
    assert tune.bars == pytest.approx([bar_length(tune.metre) * i for i in range(17)])


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_made_tunes_differ(seed):
    tunes = {made.make(style, number, seed).notes for style in made.STYLES for number in range(20)}
    assert len(tunes) == 60


@pytest.mark.parametrize("metre", METRES)
def test_beats_fall_within_the_bar(metre):
    falls = beats(metre)
    assert falls[0] == 0
    assert sorted(falls) == list(falls)
    assert falls[-1] < bar_length(metre)
    expected = {"2/4": 2, "3/4": 3, "4/4": 4, "6/8": 2, "7/8": 3, "9/8": 3}
    assert len(falls) == expected[metre]

"""Which tunes, which split, which clips: everything but the sound.

The split is by tune: no tune is heard in two of train, dev and test, so tags of tradition and metre are measured on
tunes that were never trained on. (The trial of section 5.1 split by clip.)
"""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import count, pairwise
from typing import NamedTuple, TypeAlias

from common.errors import OperatorError
from music_fewshot.render import made, reading, scores
from music_fewshot.render.arrange import Clip, arrange
from music_fewshot.render.presets import Preset
from music_fewshot.render.tune import Tune

SPLITS = ("train", "dev", "test")
OPENING = 12
"""Steps between the first notes of a melody by which two transcriptions of one tune are known."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


class Planned(NamedTuple):
    clips: dict[str, tuple[Clip, ...]]
    """By split."""
    tunes: dict[str, tuple[Tune, ...]]
    """By split."""


def plan(preset: Preset, seed: int, progress: Progress) -> Planned:
    """Tunes of every tradition, dealt to the splits, and the clips made of them. Raises OperatorError."""
    dealt: dict[str, list[Tune]] = {split: [] for split in SPLITS}
    seen: set[object] = set()
    total = len(preset.traditions) * preset.tunes
    for place, tradition in enumerate(preset.traditions):
        tunes = []
        for tune in _tunes(tradition, preset.metres, seed, seen):
            tunes.append(tune)
            progress("tunes", place * preset.tunes + len(tunes), total)
            if len(tunes) == preset.tunes:
                break
        if len(tunes) < preset.tunes:
            raise OperatorError(
                f"{tradition}: only {len(tunes)} of {preset.tunes} tunes can be read; pip install -U 'kithara[render]'"
            )
        for split, part in zip(SPLITS, _dealt(tunes, preset.clips), strict=True):
            dealt[split] += part
    clips = {}
    for split, number in zip(SPLITS, preset.clips, strict=True):
        random.Random(f"{seed} {split}").shuffle(dealt[split])  # few clips are not all of one tradition
        clips[split] = tuple(_clips(dealt[split], split, number, preset.seconds, seed))
    return Planned(clips, {split: tuple(tunes) for split, tunes in dealt.items()})


def _tunes(tradition: str, metres: tuple[str, ...], seed: int, seen: set[object]) -> Iterator[Tune]:
    """Tunes of one tradition in the order of ``seed``, none of which was seen under another number or name."""
    if tradition in made.STYLES:
        yield from (tune for number in count() if (tune := made.make(tradition, number, seed)).metre in metres)
    for score in scores.shuffled(tradition, seed):
        titles = {(score.source, title) for title in score.titles}
        if titles & seen or reading.metre_of(score) not in metres or (tune := reading.read(score)) is None:
            continue
        opening = tuple(after.pitch - one.pitch for one, after in pairwise(tune.notes[: OPENING + 1]))
        if opening not in seen:
            seen |= {*titles, opening}
            yield tune


def _dealt(tunes: Sequence[Tune], clips: tuple[int, int, int]) -> tuple[Sequence[Tune], ...]:
    """In the proportion of the clips, at least one tune to each split."""
    dev, test = (max(1, round(len(tunes) * part / sum(clips))) for part in clips[1:])
    return tunes[dev + test :], tunes[:dev], tunes[dev : dev + test]


def _clips(tunes: Sequence[Tune], split: str, number: int, seconds: float, seed: int) -> Iterator[Clip]:
    """The tunes in turn."""
    for place in range(number):
        yield arrange(tunes[place % len(tunes)], f"{split}_{place:05d}", seconds, seed)

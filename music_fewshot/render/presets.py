"""The corpora that can be asked for."""

from typing import Literal, NamedTuple, TypeAlias

from common.errors import OperatorError
from music_fewshot.render.tune import METRES

PresetName: TypeAlias = Literal["small", "study", "starter"]
LIMITS = {"--clips": (20, 100_000), "--seconds": (2.0, 30.0)}


class Preset(NamedTuple):
    clips: tuple[int, int, int]
    """Of train, dev and test."""
    seconds: float
    """Length of every clip."""
    traditions: tuple[str, ...]
    """Keys of ``scores.SOURCES`` or ``made.STYLES``."""
    tunes: int
    """Of each tradition."""
    metres: tuple[str, ...] = METRES
    """What its tunes may be in."""


MADE = ("made pentatonic", "made dorian", "made phrygian dominant")
OPEN = ("irish", "american", "scottish")

PRESETS: dict[PresetName, Preset] = {
    # For tests: seconds.
    "small": Preset((36, 12, 12), 4.0, ("irish", "scottish", *MADE), 4),
    # Specification, section 5.1: 1,500 clips from 420 tunes, 44 tags. The note shared tunes between train and test.
    "study": Preset((900, 100, 500), 6.0, ("chinese", "german", "lorraine", *OPEN), 70, METRES[:4]),
    # Only scores whose licence allows a model to be published. 7.4 s are two windows of the embedding.
    "starter": Preset((2400, 200, 400), 7.4, (*OPEN, *MADE), 100),
}


def preset(name: PresetName, clips: int | None, seconds: float | None) -> Preset:
    """A preset with another number or length of clips. Raises OperatorError for what is out of bounds."""
    for flag, value in (("--clips", clips), ("--seconds", seconds)):
        low, high = LIMITS[flag]
        if value is not None and not low <= value <= high:
            raise OperatorError(f"{flag} {value}: give {low:g} to {high:,.0f}")
    chosen = PRESETS[name]
    if seconds is not None:
        chosen = chosen._replace(seconds=seconds)
    if clips is not None:
        _, dev, test = (max(1, round(clips * part / sum(chosen.clips))) for part in chosen.clips)
        enough = max(4, -(-clips // len(chosen.traditions)))
        chosen = chosen._replace(clips=(clips - dev - test, dev, test), tunes=min(chosen.tunes, enough))
    return chosen

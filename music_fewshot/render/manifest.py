"""What a rendered corpus says of itself: ``manifest.json`` for programs, ``SOURCE.md`` for people."""

from collections import Counter
from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record, Sha256
from music_fewshot.render.plan import Planned
from music_fewshot.render.scores import SOURCES


class SplitSummary(Record, frozen=True, kw_only=True):
    """One of train, dev and test."""

    clips: Positive
    tunes: Positive
    tags: dict[str, int]
    """Clips that carry each tag."""


class Manifest(Record, frozen=True, kw_only=True):
    """How a corpus was made, and what it holds. It names no time and no place: made again, it is the same."""

    preset: str
    seed: int
    seconds: Annotated[float, Meta(gt=0)]
    """Of every clip."""
    sample_rate: Positive
    licence: str
    use: Literal["open", "research"]
    font: str
    font_sha256: Sha256
    software: dict[str, str]
    """Versions of what shapes the bytes."""
    tags: Positive
    """Different ones."""
    tags_per_clip: float
    splits: dict[str, SplitSummary]
    digests: dict[str, Sha256]
    """Of the tables and the sound."""


def summaries(planned: Planned) -> dict[str, SplitSummary]:
    """What each split holds, the most frequent tags first."""
    made = {}
    for split, clips in planned.clips.items():
        told = Counter(tag for clip in clips for tag in clip.tags)
        ordered = dict(sorted(told.items(), key=lambda one: (-one[1], one[0])))
        made[split] = SplitSummary(clips=len(clips), tunes=len({clip.tune.id for clip in clips}), tags=ordered)
    return made


def terms(planned: Planned) -> tuple[str, Literal["open", "research"]]:
    """Licences of all sources, and the narrowest use."""
    used = [SOURCES[name] for name in _sources(planned)]
    licences = "; ".join(dict.fromkeys(one.licence for one in used))
    return licences, "research" if any(one.use == "research" for one in used) else "open"


def _sources(planned: Planned) -> list[str]:
    used = {tune.source for tunes in planned.tunes.values() for tune in tunes}
    return [name for name in SOURCES if name in used]


def source_page(manifest: Manifest, planned: Planned, files: dict[str, tuple[int, int, str]]) -> str:
    """SOURCE.md. ``files``: rows, bytes and sha256 by name."""
    count = {split: f"{one.clips:,} {split} ({one.tunes} tunes)" for split, one in manifest.splits.items()}
    notes = [f"- {name}: {SOURCES[name].licence}. {SOURCES[name].note}" for name in _sources(planned)]
    table = [f"| {name} | {rows:,} | {size:,} | {digest} |" for name, (rows, size, digest) in files.items()]
    restriction = (
        "**NON-COMMERCIAL: for research; do not redistribute.** The rows of the tables name the licence of each clip."
        if manifest.use == "research"
        else "Every source is in the public domain, or was made by the suite itself."
    )
    return PAGE.format(
        preset=manifest.preset,
        seed=manifest.seed,
        counts=", ".join(count.values()),
        seconds=manifest.seconds,
        tags=manifest.tags,
        density=manifest.tags_per_clip,
        font=manifest.font,
        software=", ".join(f"{name} {version}" for name, version in manifest.software.items()),
        restriction=restriction,
        notes="\n".join(notes),
        table="\n".join(table),
    )


PAGE = """# Rendered scores

## Origin

Made by `kithara data render-music` (preset {preset}, seed {seed}): melodies of the music21 corpus and tunes drawn from
the seed, arranged and played by FluidSynth from the soundfont {font}. Software: {software}.

{counts}; {seconds:g} s a clip; {tags} tags, {density:.2f} a clip. No tune stands in two splits.

## Licence

{restriction}

{notes}

The samples of the soundfont are heard in every clip; its own licence comes with it (FluidR3_GM: MIT; TimGM6mb: GPL-2).

## Format

One tar a split (plain USTAR) of `<id>.flac`, 16 kHz mono 16 bit, all of one length; the table of the same name lists
them in the same order: tab-separated UTF-8, no quoting, columns id, tune, tags (joined with `|`), source, licence,
n_samples. Peaks are at -3 dB.

Tags are exact: they say what was asked of the synthesiser. The accompanying bass and drone have tags of their own and
none of an instrument. Cut time is tagged 4/4. `manifest.json` counts the tags of every split.

## Files

| file | items | bytes | sha256 |
|---|---|---|---|
{table}
"""

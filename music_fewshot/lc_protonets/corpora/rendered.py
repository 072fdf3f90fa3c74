"""Rendered scores, as ``kithara data render-music --out DATA/rendered_music`` writes them."""

from pathlib import Path
from typing import Literal

import msgspec

from music_fewshot.lc_protonets.corpora.clips import SAMPLE_RATE, read_clips
from music_fewshot.lc_protonets.corpora.corpus import SPLITS, Corpus, Source, Split, arrange, broken, read, truth_table

FOLDER = "rendered_music"


class Manifest(msgspec.Struct, frozen=True):
    """What is read of ``manifest.json``."""

    licence: str
    use: Literal["open", "research"]


def rendered(data: Path) -> Corpus:
    """60 % of the tags are base. Raises OperatorError."""
    folder = data / FOLDER
    manifest = folder / "manifest.json"
    content, digest = read(manifest)
    try:
        terms = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise broken(manifest, error) from error
    digests = [digest]
    tagged: dict[str, list[list[str]]] = {}
    clips = {name: read_clips(folder, name, ("tags",), ".flac") for name in SPLITS}
    for name, read_ in clips.items():
        tagged[name] = [row["tags"].split("|") if row["tags"] else [] for row in read_.rows]
        digests += read_.digests
    tags = tuple(sorted({tag for names in tagged["train"] for tag in names}))
    splits: dict[str, Split] = {}
    for name, read_ in clips.items():
        known = ([tag for tag in names if tag in tags] for names in tagged[name])
        splits[name] = Split(tuple(row["id"] for row in read_.rows), truth_table(known, tags), read_.samples)
    return arrange(Source("rendered", terms.licence, terms.use, "waveform", tags, SAMPLE_RATE, tuple(digests), splits))

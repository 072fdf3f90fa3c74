"""Emotify: 400 songs and the emotions that listeners marked (Aljanaki, Wiering and Veltkamp 2015)."""

from pathlib import Path

import numpy as np

from music_fewshot.lc_protonets.corpora.clips import SAMPLE_RATE, read_clips
from music_fewshot.lc_protonets.corpora.corpus import SPLITS, Corpus, Source, Split, arrange, broken

EMOTIONS = (
    "amazement", "solemnity", "tenderness", "nostalgia", "calmness", "power", "joyful_activation", "tension", "sadness",
)  # fmt: skip
SHARE = 0.25
"""Of its listeners: a clip carries the emotions that so many or more have marked."""
LICENCE = "none stated with the data; recordings by Magnatune artists, to be taken as CC BY-NC-SA"


def emotify(data: Path) -> Corpus:
    """Excerpts of 12 s and nine tags: the five most frequent are base, four novel. Raises OperatorError."""
    folder = data / "emotify"
    splits: dict[str, Split] = {}
    digests: list[str] = []
    columns = tuple(f"votes_{emotion}" for emotion in EMOTIONS)
    for name in SPLITS:
        clips = read_clips(folder, name, ("n_annotators", *columns), ".opus")
        try:
            votes = np.array([[int(row[column]) for column in columns] for row in clips.rows])
            listeners = np.array([[int(row["n_annotators"])] for row in clips.rows])
        except ValueError as error:
            raise broken(folder / f"{name}.tsv", error) from error
        if (listeners < 1).any() or (votes < 0).any() or (votes > listeners).any():
            raise broken(folder / f"{name}.tsv", "more votes than listeners")
        splits[name] = Split(tuple(row["id"] for row in clips.rows), votes >= SHARE * listeners, clips.samples)
        digests += clips.digests
    return arrange(
        Source("emotify", LICENCE, "research", "waveform", EMOTIONS, SAMPLE_RATE, tuple(digests), splits), base=5
    )

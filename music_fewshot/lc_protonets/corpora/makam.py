"""Turkish makam recordings as images of their melody (Karakurt, Senturk and Serra 2016), with 50 tags."""

from pathlib import Path

from music_fewshot.lc_protonets.corpora.arrays import read_split
from music_fewshot.lc_protonets.corpora.corpus import SPLITS, Corpus, Source, Split, arrange, broken

LICENCE = "CC BY-NC-SA 4.0"
SHAPE = (240, 180)
"""Frames of 0.5 s, bins of a third of a semitone."""


def makam_pitch(data: Path) -> Corpus:
    """Images of 120 s; 30 base and 20 novel tags. Raises OperatorError."""
    splits: dict[str, Split] = {}
    digests: list[str] = []
    tags: tuple[str, ...] = ()
    for name in SPLITS:
        path = data / "makam_pitch" / f"{name}.npz"
        splits[name], names, digest = read_split(path, "pitchgram", 3, "uint8")
        if splits[name].inputs.shape[1:] != SHAPE or (tags and names != tags):
            raise broken(path, f"{len(names)} tags, images {splits[name].inputs.shape[1:]}")
        tags = names
        digests.append(digest)
    return arrange(Source("makam_pitch", LICENCE, "research", "image", tags, 0, tuple(digests), splits))

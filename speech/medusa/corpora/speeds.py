"""More voices than there are speakers: training clips played faster and slower, which moves pitch, formants and tempo
together."""

from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO

import numpy as np
import soundfile
import soxr

from common.audio import decode_at
from contracts.speech import SAMPLE_RATE, SPEECH_LIMITS
from speech.medusa.corpora.corpus import Corpus, Utterance

COPY = "@"
"""Between the id of a clip and its speed."""


def at_speeds(corpus: Corpus, speeds: Sequence[float]) -> Corpus:
    """The corpus, and each of its training clips once more at every speed, called ``<id>@<speed>``.

    Dev and test clips, and everybody's first copies, stay as they are.
    """
    return corpus._replace(utterances=tuple(u for one in corpus.utterances for u in _copies(one, speeds)))


def is_copy(name: str) -> bool:
    """Whether a clip of this id is another one at some speed."""
    return COPY in name


def played(audio: bytes, speed: float) -> bytes:
    """A sound file -> a float WAV at 16 kHz of 1 / ``speed`` times its length. Raises as ``decode_at`` does."""
    samples = decode_at(audio, SAMPLE_RATE, SPEECH_LIMITS)
    moved = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE).astype(np.float32)
    file = BytesIO()
    soundfile.write(file, moved, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def _copies(utterance: Utterance, speeds: Sequence[float]) -> Iterator[Utterance]:
    yield utterance
    if utterance.split == "train":
        for speed in speeds:
            yield utterance._replace(
                id=f"{utterance.id}{COPY}{speed:g}", audio=partial(_played_audio, utterance, speed)
            )


def _played_audio(utterance: Utterance, speed: float) -> bytes:
    return played(utterance.audio(), speed)

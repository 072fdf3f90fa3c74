"""From rows of samples and a text to the tensors of a speech graph. Exporter and server share it."""

from collections.abc import Sequence

import numpy as np

from common.audio.frames import FEATURES, HOP, WINDOW, speech_frames
from common.audio.functionals import FUNCTIONALS as NUMBERS
from common.audio.functionals import functionals
from common.text.features import PAD
from contracts.speech import FUNCTIONALS, IDS, IDS_MASK, emotion_signature
from contracts.tensors import Signature
from speech.features import padded


def signature(classes: int, width: int, *, attributes: bool, text: bool, whole: bool) -> Signature:
    """Of a graph over this front end; ``whole``: it takes functionals, too."""
    return emotion_signature(
        FEATURES, classes, width, attributes=attributes, text=text, functionals=len(NUMBERS) if whole else 0
    )


def graph_inputs(
    rows: Sequence[np.ndarray], ids: Sequence[int] | None, *, whole: bool = False
) -> dict[str, np.ndarray]:
    """Rows of samples, each with the same text: frames and tokens with their masks; ``whole``: functionals, too.

    Without a word to read there is one token that the mask hides, as in training.
    """
    heard = [speech_frames(row) for row in rows]
    inputs = padded(heard)
    if whole:
        inputs[FUNCTIONALS] = np.stack([functionals(of) for of in heard])
    if ids is None:
        return inputs
    words = np.tile(np.array(ids or (PAD,), np.int64), (len(rows), 1))
    return {**inputs, IDS: words, IDS_MASK: np.full(words.shape, bool(ids))}


def frames(samples: int) -> int:
    """That the front end makes of so many samples."""
    return max(1, 1 + (samples - WINDOW) // HOP)

"""From what a graph says of a recording's pieces and windows to the answer. Pure numpy, in float64."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from contracts.models import ModelCard
from contracts.speech import SAMPLE_RATE, Attributes, ClipEmotion, EmotionOptions, EmotionSegment
from contracts.vision_nlp import LabelScore
from speech.features import Speech, entropy, softmax
from speech.transcripts import Transcript

LOWEST, HIGHEST = 1.0, 7.0
"""Of an attribute."""


class Said(NamedTuple):
    """What the graph answered, a row for each piece or window."""

    logits: np.ndarray
    """float32 (rows, classes)"""
    attributes: np.ndarray | None
    """float32 (rows, 3), where they were learnt: arousal, valence, dominance."""
    embedding: np.ndarray
    """float32 (rows, width)"""


class Recording(NamedTuple):
    """A recording and all that was said of it."""

    speech: Speech
    warnings: tuple[str, ...]
    lengths: tuple[int, ...]
    """Samples of each piece."""
    pieces: Said
    spans: tuple[tuple[int, int], ...] = ()
    """First sample of each window and the one after its last."""
    windows: Said | None = None


def clip_emotion(recording: Recording, card: ModelCard, options: EmotionOptions, transcript: Transcript) -> ClipEmotion:
    """The answer for one recording: the pieces' probabilities, vectors and attributes, weighted by length."""
    pieces, weights = recording.pieces, np.array(recording.lengths, np.float64)
    weights = weights / weights.sum()
    p = np.minimum(weights @ _scores(pieces.logits, card, options), 1.0)
    order = np.argsort(-p, kind="stable")
    return ClipEmotion(
        label=card.labels[order[0]],
        labels=card.labels,
        scores=_named(p, card),
        top=tuple(LabelScore(label=card.labels[i], score=float(p[i])) for i in order[: options.top_k]),
        attributes=None if pieces.attributes is None else _attributes(weights @ pieces.attributes),
        attributes_reason=without_attributes(card) if pieces.attributes is None else None,
        entropy=float(entropy(p)),
        seconds=recording.speech.seconds,
        text_used=transcript.used,
        segments=None if recording.windows is None else _segments(recording.spans, recording.windows, card, options),
        embedding=tuple((weights @ pieces.embedding).tolist()) if options.embedding else None,
        calibrated=options.calibrated,
        warnings=(*recording.warnings, *_long(recording, options), *transcript.warnings),
    )


def without_attributes(card: ModelCard) -> str:
    """Why a model tells none."""
    names = " and ".join(dict.fromkeys(source.name for source in card.lineage.data))
    return f"the model was not trained with attributes: {names} has none"


def _segments(
    spans: Sequence[tuple[int, int]], said: Said, card: ModelCard, options: EmotionOptions
) -> tuple[EmotionSegment, ...]:
    probabilities = _scores(said.logits, card, options)
    return tuple(
        EmotionSegment(
            start=start / SAMPLE_RATE,
            end=stop / SAMPLE_RATE,
            label=card.labels[int(p.argmax())],
            scores=_named(p, card),
            attributes=None if said.attributes is None else _attributes(said.attributes[at]),
            entropy=float(entropy(p)),
        )
        for at, ((start, stop), p) in enumerate(zip(spans, probabilities, strict=True))
    )


def _scores(logits: np.ndarray, card: ModelCard, options: EmotionOptions) -> np.ndarray:
    """float64 (rows, classes)"""
    temperature = card.speech.temperature if card.speech and options.calibrated else 1.0
    return softmax(logits, temperature)


def _named(p: np.ndarray, card: ModelCard) -> dict[str, float]:
    return dict(zip(card.labels, p.tolist(), strict=True))


def _attributes(values: np.ndarray) -> Attributes:
    arousal, valence, dominance = np.clip(values.astype(np.float64), LOWEST, HIGHEST).tolist()
    return Attributes(arousal=arousal, valence=valence, dominance=dominance)


def _long(recording: Recording, options: EmotionOptions) -> tuple[str, ...]:
    count = len(recording.lengths)
    if count == 1 or options.segments:
        return ()
    each = recording.speech.seconds / count
    return (f"the recording was heard in {count} pieces of {each:.1f} s, and this is their mean: ask for segments",)

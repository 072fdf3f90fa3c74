"""Speech: name the emotion in a recording. Requests, answers, and the graph behind them."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Probability, Record, Seconds
from contracts.media import MIB, AudioLimits
from contracts.models import Use
from contracts.problem import Problem
from contracts.tensors import BATCH, Signature, Tensor
from contracts.text import TOKENS
from contracts.vision_nlp import LabelScore

SAMPLE_RATE = 16_000
"""Samples per second; every speech model of the suite hears mono at this rate."""
FRAMES = "frames"
"""The dynamic dimension of a speech graph, and its input: 10 ms each."""
FRAMES_MASK, IDS, IDS_MASK, FUNCTIONALS = "frames_mask", "ids", "ids_mask", "functionals"
LOGITS, ATTRIBUTES, EMBEDDING = "logits", "attributes", "embedding"

MODEL = "speech-emotion"
"""The ensemble that answers when a request names none."""
SPEECH_LIMITS = AudioLimits(seconds=600.0, shortest=0.3)
"""Of one recording."""
UNRELIABLE: Seconds = 1.0
"""Shorter speech is answered with a warning."""
CLIPPED: Probability = 0.01
"""Share of samples at full scale from which on a recording is answered with a warning."""
MAX_CLIPS = 32
"""Recordings in one request."""
MAX_UPLOAD = 64 * MIB
"""Bytes of all recordings of one request."""
MAX_SEGMENTS = 1_200
"""Windows of one recording; a longer hop gives fewer."""
MOST_CHARACTERS = 4_000
"""Of a transcript."""

Attribute = Literal["arousal", "valence", "dominance"]
Scale = Annotated[float, Meta(ge=1.0, le=7.0)]
"""1 (calm, negative, weak) to 7 (active, positive, dominant)."""


class EmotionOptions(Record, frozen=True, kw_only=True):
    """Options of ``POST /v1/speech/emotion`` and its batch: query parameters, or fields of the form."""

    model: Annotated[str, Meta(max_length=80, examples=[MODEL, f"{MODEL}@1"])] = MODEL
    """``name``, ``name@version`` or ``name@alias``."""
    text: Annotated[str, Meta(max_length=MOST_CHARACTERS)] | None = None
    """The transcript, for a model that reads one."""
    top_k: Annotated[int, Meta(ge=1, le=100)] = 1
    """Number of labels in ``top``; all labels when the model has fewer."""
    segments: bool = False
    """Also answer for each window of the recording."""
    window_s: Annotated[float, Meta(ge=0.5, le=30.0)] = 3.0
    """Length of a segment's window in seconds."""
    hop_s: Annotated[float, Meta(ge=0.1, le=30.0)] = 1.5
    """From the start of one segment to the next, in seconds."""
    embedding: bool = False
    """Also answer the model's vector of the recording."""
    calibrated: bool = True
    """Probabilities under the temperature fitted on held-out speech; false: as the network gives them."""


class Attributes(Record, frozen=True, kw_only=True):
    """How the voice sounds, each from 1 to 7."""

    arousal: Scale
    valence: Scale
    dominance: Scale


class EmotionSegment(Record, frozen=True, kw_only=True):
    """One window of the recording."""

    start: Annotated[float, Meta(ge=0.0)]
    """Seconds from the start of the recording."""
    end: Seconds
    label: str
    scores: dict[str, Probability]
    """Every label, in the order of ``labels``."""
    attributes: Attributes | None
    entropy: Annotated[float, Meta(ge=0.0)]


class ClipEmotion(Record, frozen=True, kw_only=True):
    """What one recording sounds like."""

    label: str
    """The most probable."""
    labels: Annotated[tuple[str, ...], Meta(min_length=2)]
    """All that the model knows, in its fixed order: no other emotion can be answered."""
    scores: dict[str, Probability]
    """Every label and its probability, in the order of ``labels``; they sum to 1."""
    top: Annotated[tuple[LabelScore, ...], Meta(min_length=1)]
    """The ``top_k`` most probable labels, most probable first."""
    attributes: Attributes | None
    attributes_reason: str | None
    """Why there are no attributes."""
    entropy: Annotated[float, Meta(ge=0.0)]
    """Of the scores, in nats; 0 is certain. A model that learnt from several listeners' votes is unsure where they
    were: a measure of how much listeners would disagree."""
    seconds: Seconds
    """Of the recording."""
    text_used: bool
    """Whether a transcript entered the answer."""
    segments: tuple[EmotionSegment, ...] | None = None
    embedding: tuple[float, ...] | None = None
    calibrated: bool
    warnings: tuple[str, ...]
    """What makes the answer less reliable."""


class EmotionResponse(ClipEmotion, frozen=True, kw_only=True):
    """The answer of ``POST /v1/speech/emotion``."""

    model: str
    version: Positive
    use: Use
    request_id: str


class EmotionItem(Record, frozen=True, kw_only=True):
    """One recording of a batch: its answer, or what is wrong with it."""

    name: str
    """Of its part in the form."""
    answer: ClipEmotion | None = None
    problem: Problem | None = None


class EmotionBatchResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/speech/emotion/batch``: a bad recording does not fail the others."""

    items: Annotated[tuple[EmotionItem, ...], Meta(min_length=1)]
    """In the order of the parts."""
    model: str
    version: Positive
    use: Use
    request_id: str


def emotion_signature(
    features: int, classes: int, width: int, *, attributes: bool, text: bool, functionals: int = 0
) -> Signature:
    """Graph of an ensemble, its encoders and its meta-classifier, from frames of ``features`` numbers.

    ``functionals``: numbers that describe the recording as a whole, for a graph that takes them.

    The masks are true where a frame or a token lies; nothing else has any influence.
    """
    heard = (
        Tensor(name=FRAMES, dtype="float32", dims=(BATCH, FRAMES, features)),
        Tensor(name=FRAMES_MASK, dtype="bool", dims=(BATCH, FRAMES)),
    )
    read = (
        Tensor(name=IDS, dtype="int64", dims=(BATCH, TOKENS)),
        Tensor(name=IDS_MASK, dtype="bool", dims=(BATCH, TOKENS)),
    )
    whole = (Tensor(name=FUNCTIONALS, dtype="float32", dims=(BATCH, functionals)),) if functionals else ()
    judged = (Tensor(name=ATTRIBUTES, dtype="float32", dims=(BATCH, 3)),)
    return Signature(
        inputs=(*heard, *(read if text else ()), *whole),
        outputs=(
            Tensor(name=LOGITS, dtype="float32", dims=(BATCH, classes)),
            *(judged if attributes else ()),
            Tensor(name=EMBEDDING, dtype="float32", dims=(BATCH, width)),
        ),
    )

"""Text: name the emotions in it. Requests, answers, and the graph of every multi-label text encoder."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Positive, Record
from contracts.tensors import BATCH, Signature, Tensor
from contracts.vision_nlp import LabelScore

TOKENS = "tokens"
"""The dynamic dimension of a text encoder: the longest text of a batch."""

MODEL = "emotions-acn"
"""The encoder that answers when a request names none."""
MOST_TEXTS = 64
MOST_CHARACTERS = 8_000
"""Of one text; far above what an encoder reads."""


class EmotionsRequest(Record, frozen=True, kw_only=True):
    """``POST /v1/text/emotions``."""

    texts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)], ...],
        Meta(min_length=1, max_length=MOST_TEXTS, examples=[["Thank you so much, this made my day!"]]),
    ]
    """Each is answered alone."""
    model: Annotated[str, Meta(max_length=80, examples=[MODEL, f"{MODEL}@1"])] = MODEL
    """``name``, ``name@version`` or ``name@alias``."""


class TextEmotions(Record, frozen=True, kw_only=True):
    """One text: any number of labels, none of them is an answer too."""

    labels: tuple[str, ...]
    """Those whose probability reaches their threshold, most probable first."""
    scores: tuple[LabelScore, ...]
    """Every label and its own probability (sigmoid), in the card's order; they do not sum to 1."""
    tokens: Positive
    """That the text has; more than the card's ``max_tokens`` is refused."""


class EmotionsResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/text/emotions``."""

    answers: Annotated[tuple[TextEmotions, ...], Meta(min_length=1)]
    """In the order of the texts."""
    model: str
    version: Positive
    request_id: str


def text_signature(labels: int) -> Signature:
    """Graph of a multi-label text encoder. ``mask`` is true where a token lies; nothing else has any influence."""
    return Signature(
        inputs=(
            Tensor(name="ids", dtype="int64", dims=(BATCH, TOKENS)),
            Tensor(name="mask", dtype="bool", dims=(BATCH, TOKENS)),
        ),
        outputs=(Tensor(name="logits", dtype="float32", dims=(BATCH, labels)),),
    )

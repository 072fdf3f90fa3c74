"""Vision: classify an image. Requests, answers, and the graphs behind them."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Positive, Probability, Record
from contracts.tensors import BATCH, Signature, Tensor


class ClassifyOptions(Record, frozen=True, kw_only=True):
    """Options of ``POST /v1/vision/classify``: query parameters, or fields of the multipart form."""

    model: Annotated[str, Meta(max_length=80, examples=["fff-fashion-mnist", "fff-fashion-mnist@1"])] = (
        "fff-fashion-mnist"
    )
    """``name``, ``name@version`` or ``name@alias``."""
    top_k: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Number of labels in ``scores``; all labels when the model has fewer."""
    invert: bool = False
    """Negate the picture first: for a dark thing on a light ground where the model card's ``ground`` is dark."""
    depth: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Auto-compressing models: answer after so many blocks; one of the depths of the card's ``stages``."""
    exit_entropy: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    """Auto-compressing models: answer at the first stage whose softmax has less entropy than this (nats)."""


class LabelScore(Record, frozen=True, kw_only=True):
    """A label and its probability (softmax over all labels of the model)."""

    label: str
    score: Probability


class ClassifyResponse(Record, frozen=True, kw_only=True):
    """The answer of ``POST /v1/vision/classify``."""

    label: str
    """The most probable label."""
    scores: Annotated[tuple[LabelScore, ...], Meta(min_length=1)]
    """The ``top_k`` most probable labels, most probable first."""
    leaf: Annotated[int, Meta(ge=0)] | None = None
    """Fast feedforward models: the one leaf that answered."""
    path_margin: Annotated[float, Meta(ge=0.0)] | None = None
    """Fast feedforward models: smallest absolute node logit on the path; near 0 the next leaf was almost taken."""
    depth: Positive | None = None
    """Auto-compressing models: the blocks that ran."""
    entropy: Annotated[float, Meta(ge=0.0)] | None = None
    """Auto-compressing models: of the softmax over all labels, in nats; what ``exit_entropy`` is compared with."""
    model: str
    version: Positive
    request_id: str


def fff_signature(pixels: int, classes: int) -> Signature:
    """Graph of a hard-routed fast feedforward classifier over flattened, normalised images."""
    return Signature(
        inputs=(Tensor(name="pixels", dtype="float32", dims=(BATCH, pixels)),),
        outputs=(
            Tensor(name="logits", dtype="float32", dims=(BATCH, classes)),
            Tensor(name="leaf", dtype="int64", dims=(BATCH,)),
            Tensor(name="path_margin", dtype="float32", dims=(BATCH,)),
        ),
    )


PIXELS, LOGITS = "pixels", "logits"
X, Y = "x", "y"
"""What a stage of an auto-compressing network takes: the last block's output, and the sum of all outputs so far."""
X_NEXT, Y_NEXT = "x_next", "y_next"
"""The same as the next stage takes it."""


def acn_signature(pixels: int, classes: int) -> Signature:
    """Graph of a whole auto-compressing classifier over flattened, normalised images."""
    return Signature(
        inputs=(Tensor(name=PIXELS, dtype="float32", dims=(BATCH, pixels)),),
        outputs=(Tensor(name=LOGITS, dtype="float32", dims=(BATCH, classes)),),
    )


def stage_signature(pixels: int | None, tokens: int, width: int, classes: int) -> Signature:
    """Graph of some blocks: the first stage (``pixels`` given) takes the picture, the others what the last one left."""

    def state(*names: str) -> tuple[Tensor, ...]:
        return tuple(Tensor(name=name, dtype="float32", dims=(BATCH, tokens, width)) for name in names)

    picture = None if pixels is None else Tensor(name=PIXELS, dtype="float32", dims=(BATCH, pixels))
    return Signature(
        inputs=state(X, Y) if picture is None else (picture,),
        outputs=(Tensor(name=LOGITS, dtype="float32", dims=(BATCH, classes)), *state(X_NEXT, Y_NEXT)),
    )

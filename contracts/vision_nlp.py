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

"""The supervised reference of the in-context studies: its graph, its answers, its predictions as a study reads them."""

from contracts._base import Positive, Probability, Record
from contracts.tensors import BATCH, Signature, Tensor

TOKENS = "tokens"
"""The dynamic dimension: the longest text of a batch."""


class ReferencePrediction(Record, frozen=True, kw_only=True):
    """One line of ``predictions.jsonl``: what a priors study's ``reference`` file holds."""

    id: str
    labels: tuple[str, ...]
    """In label-set order; none of them is legal."""


class ReferenceAnswer(Record, frozen=True, kw_only=True):
    """One text."""

    labels: tuple[str, ...]
    """Those whose probability reaches the card's threshold, in label-set order."""
    probabilities: dict[str, Probability]
    """Of every label on its own: they need not sum to 1."""


class ReferenceAnswers(Record, frozen=True, kw_only=True):
    """The answer of ``kithara predict reference FILE``: one entry a line of the file."""

    model: str
    version: Positive
    answers: tuple[ReferenceAnswer, ...]


def reference_signature(labels: int) -> Signature:
    """Graph of a multi-label text encoder. ``mask`` is true where a token lies; nothing else has any influence."""
    return Signature(
        inputs=(
            Tensor(name="ids", dtype="int64", dims=(BATCH, TOKENS)),
            Tensor(name="mask", dtype="bool", dims=(BATCH, TOKENS)),
        ),
        outputs=(Tensor(name="logits", dtype="float32", dims=(BATCH, labels)),),
    )

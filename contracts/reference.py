"""The supervised reference of the in-context studies: its answers, its predictions as a study reads them."""

from contracts._base import Positive, Probability, Record


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

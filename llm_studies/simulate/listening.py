"""What the respondent makes of the demonstrations: are the labels informative, whose are they, which habits show."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from llm_studies.simulate.icl_prompt import Demo

Bit = Callable[[str, str], bool]
"""Whether a label belongs to a text, in somebody's eyes."""

RARE = 3
"""Cells below which a habit is not judged."""


class Heard(NamedTuple):
    """What a set of demonstrations teaches."""

    voice: Bit | None
    """Whose labels they are; None: nobody's, the mapping was destroyed."""
    over: dict[str, float]
    """By label: share of the texts without it, in the voice's eyes, that have it here..."""
    under: dict[str, float]
    """...and of those with it that lack it: the annotator's own habit."""
    rate: dict[str, float]
    """Share of the demonstrations with the label."""


def listen(demos: Sequence[Demo], labels: Sequence[str], voices: Sequence[Bit], informed: float) -> Heard:
    """The voice that agrees best with the demonstrations, if it agrees well enough; the first of equals."""
    given = np.array([[label in demo.labels for label in labels] for demo in demos], bool).reshape(-1, len(labels))
    best, best_agreement, seen = None, informed, given
    for voice in voices if len(given) else ():
        theirs = np.array([[voice(demo.text, label) for label in labels] for demo in demos], bool)
        if (found := agreement(given, theirs)) > best_agreement or (best is None and found == best_agreement):
            best, best_agreement, seen = voice, found, theirs
    return Heard(
        best,
        over=dict(zip(labels, _share(given & ~seen, ~seen), strict=True)),
        under=dict(zip(labels, _share(~given & seen, seen), strict=True)),
        rate=dict(zip(labels, _share(given, np.ones_like(given), least=1), strict=True)),
    )


def agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Cohen's kappa over all cells, chance taken label by label, so that label frequencies alone give 0."""
    p, q = one.mean(0), other.mean(0)
    chance = float(np.mean(p * q + (1 - p) * (1 - q)))
    same = float(np.mean(one == other))
    return 1.0 if same == 1 else (same - chance) / (1 - chance) if chance < 1 else 0.0


def _share(part: np.ndarray, whole: np.ndarray, least: int = RARE) -> list[float]:
    counts = whole.sum(0)
    return np.where(counts >= least, part.sum(0) / np.maximum(counts, 1), 0.0).tolist()

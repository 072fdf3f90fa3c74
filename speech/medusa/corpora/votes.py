"""From annotators' votes to a soft target (specification, section 2.2)."""

from typing import NamedTuple

import numpy as np


class Voted(NamedTuple):
    target: np.ndarray
    """float32 (classes,), sums to 1"""
    consensus: bool
    """Whether one class has more votes than any other answer."""


def voted(votes: np.ndarray, other: float = 0.0) -> Voted:
    """``votes`` (classes,): counts or shares; ``other``: those for what is no class.

    Raises ValueError for votes that are no numbers >= 0, and without a vote for any of the classes.
    """
    votes = np.asarray(votes, np.float64)
    if not np.isfinite([*votes, other]).all():
        raise ValueError("a vote is no finite number")
    if min(*votes, other) < 0:
        raise ValueError("a vote is below 0")
    if not votes.sum():
        raise ValueError("no vote for any of the classes")
    # Section 2.2: y_c = votes for c / votes over the classes; votes for "other" are dropped before normalising
    target = (votes / votes.sum()).astype(np.float32)
    second, first = np.sort(votes)[-2:]
    return Voted(target, bool(first > max(second, other)))

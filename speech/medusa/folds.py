"""Groups of speakers, and the rule that no clip is judged by who was fitted to it (specification, section 10.8)."""

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from common.errors import OperatorError


def speaker_folds(speakers: Sequence[str], folds: int, seed: int) -> Tensor:
    """int64 (n,): the fold of every clip; a speaker's clips are all in one, the folds about equally large.

    Fewer folds where there are fewer speakers; a clip without a named speaker stands for one of its own.
    Raises OperatorError for a single speaker.
    """
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row, speaker in enumerate(speakers):
        groups[speaker or f"\0{row}"].append(row)
    if len(groups) < 2:
        raise OperatorError(
            "out-of-fold answers need two speakers in training; set --meta.kind none, or --meta.on-train"
        )
    # Largest first, each to the smallest fold so far; equal sizes in an order that the seed draws.
    names = sorted(groups)
    drawn = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    found, sizes = torch.zeros(len(speakers), dtype=torch.int64), [0] * min(folds, len(groups))
    for name in sorted(drawn, key=lambda name: -len(groups[name])):
        fold = int(np.argmin(sizes))
        found[groups[name]] = fold
        sizes[fold] += len(groups[name])
    return found


def refuse_leaks(judged: Collection[str], fitted: Collection[str]) -> None:
    """Raises OperatorError where a clip is judged by a member that was fitted to it."""
    if both := set(judged) & set(fitted):
        raise OperatorError(
            f"{len(both)} clips, {min(both)} among them, were learnt by the member that is to judge them; the "
            "meta-classifier would trust what it sees there. Train the ensemble again, or ask for the published "
            "recipe with --meta.on-train"
        )

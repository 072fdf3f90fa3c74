"""Balanced subsets, drawn anew each epoch (specification, section 2.6, stage 2)."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class BalancedSampler:
    """For each class as many consensus clips as the rarest class has, and about one class-worth of the others.

    With C classes the no-consensus clips are 1 / (C + 1) of the subset, 1/9 for eight, or all of them where there are
    fewer. The subset is a function of seed and epoch alone: another one each epoch, the same one after a kill. A class
    without any consensus clip is left out.

    Raises ValueError without any consensus clip.
    """

    def __init__(
        self,
        targets: Float[Tensor, "rows classes"],
        consensus: Bool[Tensor, "rows"],
        batch: int,
        seed: int,
        processes: int = 1,
    ) -> None:
        labels = targets.argmax(1)
        by_class = [((labels == c) & consensus).nonzero()[:, 0] for c in range(targets.shape[1])]
        self.classes = [rows for rows in by_class if len(rows)]
        if not self.classes:
            raise ValueError("no clip has a consensus, so no subset is balanced; leave stage 2 out")
        self.others = (~consensus).nonzero()[:, 0]
        self.each = min(map(len, self.classes))
        self._batch, self._seed = batch, seed
        # A last batch is left out where a process would get nothing of it.
        self._length = self.size // batch + (self.size % batch >= processes)

    @property
    def size(self) -> int:
        """Clips of one epoch."""
        return self.each * len(self.classes) + min(self.each, len(self.others))

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._length

    def subset(self, epoch: int) -> Tensor:
        """int64 (size,): row numbers in the order of the epoch."""
        # Distinct for any pair below 2**31 epochs, without reading or moving the global generator.
        generator = torch.Generator().manual_seed(self._seed * 2**31 + epoch)
        groups = [*self.classes, self.others] if len(self.others) else self.classes
        drawn = [rows[torch.randperm(len(rows), generator=generator)[: self.each]] for rows in groups]
        chosen = torch.cat(drawn)
        return chosen[torch.randperm(len(chosen), generator=generator)]

    def batches(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The batches of an epoch from number ``start`` on; int64 (rows,)."""
        chosen = self.subset(epoch)
        for number in range(start, len(self)):
            yield chosen[number * self._batch : (number + 1) * self._batch]

"""The order of the training rows: a function of seed and epoch, so that a position is two numbers."""

from collections.abc import Iterator

import torch
from torch import Tensor


class EpochSampler:
    """Batches of row numbers; every process sees the same whole batches and takes its share of each.

    A last batch is left out where it would give a process fewer than ``least`` rows: one is needed in any case, two for
    batch statistics.
    """

    def __init__(self, rows: int, batch: int, seed: int, *, processes: int = 1, least: int = 1) -> None:
        if batch < least * processes:
            each = f", {least} rows each" if least > 1 else ""
            raise ValueError(f"a batch of {batch} rows cannot be shared by {processes} processes{each}")
        self._rows, self._batch, self._seed = rows, batch, seed
        self._length = rows // batch + (rows % batch >= least * processes)

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._length

    def batches(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The batches of an epoch from number ``start`` on; int64 (rows,)."""
        # Distinct for any pair below 2**31 epochs, without reading or moving the global generator.
        generator = torch.Generator().manual_seed(self._seed * 2**31 + epoch)
        order = torch.randperm(self._rows, generator=generator)
        for number in range(start, len(self)):
            yield order[number * self._batch : (number + 1) * self._batch]


class NumberSampler:
    """Numbers that never come again, for what is drawn from a number, such as an episode of few-shot learning.

    Raises ValueError when a batch is too small for every process to get a number.
    """

    def __init__(self, batches: int, batch: int, *, processes: int = 1) -> None:
        if batch < processes:
            raise ValueError(f"a batch of {batch} numbers cannot be shared by {processes} processes")
        self._batches, self._batch = batches, batch

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._batches

    def batches(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The batches of an epoch from number ``start`` on; int64 (batch,)."""
        for number in range(epoch * self._batches + start, (epoch + 1) * self._batches):
            yield torch.arange(number * self._batch, (number + 1) * self._batch)

"""Clips as the rows that a member takes, and the sets they stand in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from contracts.models import DataSource, Use
from speech.medusa.model import Padded


class Batch(NamedTuple):
    streams: dict[str, Padded]
    targets: Float[Tensor, "batch classes"]
    attributes: Float[Tensor, "batch 3"]


class Clips(Sequence[Tensor]):
    """Some of a sequence's clips, each read and made when it is asked for: a stream may be larger than the memory."""

    def __init__(
        self, given: Sequence[Any], numbers: Sequence[int] | None = None, make: Callable[[Any], Tensor] | None = None
    ) -> None:
        self.given, self.make = given, make
        self.numbers = range(len(given)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> "Clips": ...
    def __getitem__(self, index: int | slice) -> "Tensor | Clips":
        if isinstance(index, slice):
            return Clips(self.given, self.numbers[index], self.make)
        found = self.given[self.numbers[index]]
        return found if self.make is None else self.make(found)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Clips of one split, in the order of ``ids``. Everything lies on the CPU; ``batch`` moves what it returns."""

    ids: tuple[str, ...]
    """Unique within a set."""
    speakers: tuple[str, ...]
    texts: tuple[str, ...]
    """Transcripts; empty where there is none."""
    streams: Mapping[str, Sequence[Tensor]]
    """float32 (frames >= 1, dim) of every clip, by stream"""
    targets: Tensor
    """float32 (n, classes), rows sum to 1"""
    attributes: Tensor
    """float32 (n, 3): arousal, valence, dominance; NaN where not judged"""
    consensus: Tensor
    """bool (n,)"""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels(self) -> Tensor:
        """int64 (n,): the class with the most votes."""
        return self.targets.argmax(1)

    def dims(self, names: Sequence[str]) -> dict[str, int]:
        """Features of each stream, in the order of ``names``."""
        return {name: self.streams[name][0].shape[1] for name in names}

    def batch(self, rows: Tensor, names: Sequence[str]) -> Batch:
        """The clips with these numbers, int64 (b,), each stream padded to its own longest."""
        numbers = rows.tolist()
        streams = {name: padded([self.streams[name][n] for n in numbers], self.device) for name in names}
        rows = rows.cpu()
        return Batch(streams, self.targets[rows].to(self.device), self.attributes[rows].to(self.device))

    def select(self, mask: Bool[Tensor, "n"]) -> "Rows":
        """The rows where ``mask`` is true."""
        numbers = mask.nonzero()[:, 0].tolist()
        return Rows(
            ids=tuple(self.ids[n] for n in numbers),
            speakers=tuple(self.speakers[n] for n in numbers),
            texts=tuple(self.texts[n] for n in numbers),
            streams={name: Clips(clips, numbers) for name, clips in self.streams.items()},
            targets=self.targets[mask],
            attributes=self.attributes[mask],
            consensus=self.consensus[mask],
            device=self.device,
        )


class Sets(NamedTuple):
    """A corpus, or the made set, with the streams that a configuration names."""

    train: Rows
    dev: Rows
    test: Rows
    classes: tuple[str, ...]
    judged: bool
    """Whether arousal, valence and dominance were judged."""
    source: DataSource
    soft: bool
    """Whether targets are listeners' votes; if not, they are one-hot."""
    bad: tuple[str, ...]
    """Rows that were left out: where and why."""
    use: Use
    keys: dict[str, str]
    """Of every stream: what made its numbers (encoder, revision, rule), stored with a run and checked when it is read
    again."""

    def to(self, device: torch.device) -> "Sets":
        """Batches of every split are moved there."""
        train, dev, test = (replace(rows, device=device) for rows in (self.train, self.dev, self.test))
        return self._replace(train=train, dev=dev, test=test)


def padded(clips: Sequence[Tensor], device: torch.device | None = None) -> Padded:
    """Clips of (frames, dim) as one tensor, zeros after their ends."""
    lengths = torch.tensor([len(clip) for clip in clips])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    return Padded(pad_sequence(list(clips), batch_first=True).to(device), mask.to(device))

"""What every frozen encoder looks like to the feature store."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

Kind = Literal["audio", "text"]


@runtime_checkable
class Encoder(Protocol):
    """A frozen function from one recording, or one transcript, to a sequence of vectors.

    An item's vectors do not depend on the other items of the call.
    """

    @property
    def key(self) -> str:
        """All that can change a number: the model's name, its revision, and the rule by which its layers are read."""
        ...

    @property
    def dim(self) -> int: ...
    @property
    def kind(self) -> Kind: ...

    def encode(self, items: Sequence[Any]) -> list[np.ndarray]:
        """For each item float32 (frames >= 1, dim).

        ``audio``: items are float32 (n,), mono at 16 kHz. ``text``: items are str, empty ones included.
        """
        ...

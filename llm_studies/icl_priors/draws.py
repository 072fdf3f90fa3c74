"""Random choices that depend on their names alone: SHA-256 of the names, read as numbers.

Not numpy's or Python's generators: what they draw from a seed may change with their version, and a demonstration set
must be the same for everybody who names the same seed.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
_END = "\x1f"
"""Unit separator: no two lists of names make one text."""


def number(*names: object) -> int:
    """Uniform on 0 ... 2^64 - 1."""
    text = _END.join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def share(*names: object) -> float:
    """Uniform on [0, 1)."""
    return (number(*names) >> 11) / 2**53


def below(n: int, *names: object) -> int:
    """Uniform on 0 ... n - 1; the bias of the remainder is below n / 2^64."""
    return number(*names) % n


def pick(values: Sequence[T], *names: object) -> T:
    return values[below(len(values), *names)]


def shuffled(values: Sequence[T], key: Callable[[T], object], *names: object) -> list[T]:
    """``values`` in the order of their digests: a uniform permutation, whose first k are a sample without replacement.

    The order of two values never depends on the others, so a larger sample under the same names extends a smaller one.
    """
    return sorted(values, key=lambda value: number(*names, key(value)))

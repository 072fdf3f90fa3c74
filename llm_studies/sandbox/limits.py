"""What a generated programme may use (bloomwise.md, section 6)."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Positive, Record, Seconds


class Limits(Record, frozen=True, kw_only=True):
    """Of one programme, except ``parallel``."""

    cpu: Positive = 2
    """Seconds of processor time, the start of the interpreter included."""
    wall: Seconds = 5.0
    memory: Annotated[int, Meta(ge=64 * 2**20)] = 512 * 2**20
    """Bytes of address space."""
    output: Positive = 64 * 2**10
    """Bytes it may print before it is killed."""
    source: Positive = 64 * 2**10
    """Bytes of its text; a longer one is not even read by the parser."""
    digits: Annotated[int, Meta(ge=1, le=4300)] = 1000
    """Of its answer: digits, magnitude of the exponent, or characters of a text."""
    parallel: Annotated[int, Meta(ge=1, le=64)] = 2
    """Programmes at once; more of them wait."""

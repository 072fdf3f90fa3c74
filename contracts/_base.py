"""The one base of every contract, and the annotated scalars that several contracts share."""

from typing import Annotated

from msgspec import Meta, Struct


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, keyword-only, and closed: an unknown field is an error, never ignored.

    msgspec inherits ``frozen`` and ``forbid_unknown_fields`` but not ``kw_only``, so a subclass states
    ``kw_only=True`` again; ``tests/contracts`` fails for one that forgets.
    """


Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""Names a model, a system or an alias: safe as a folder, in a URL and as a Triton model name."""

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
"""Lower-case hex digest."""

Positive = Annotated[int, Meta(ge=1)]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Seconds = Annotated[float, Meta(gt=0.0)]

"""The settings of a pre-training of a compact encoder. Free of torch: the command line reads it."""

from typing import Annotated, Literal

from msgspec import Meta

from contracts._base import Positive, Record
from speech.medusa.encoders.settings import Acoustic, Clusters, Masked, Text


class Data(Record, frozen=True, kw_only=True):
    """What is heard, or read; labels are not."""

    name: Literal["emodb", "ravdess", "nemo", "msp_podcast"] = "emodb"
    """Its training split is learnt from, and its development split tells when to stop."""
    more: tuple[Literal["librispeech_mini", "speech_commands", "fsdd"], ...] = ()
    """Openly licensed speech that is learnt from as well, for ``acoustic``."""
    without: tuple[str, ...] = ()
    """Speakers of it who are not heard, beside those of its test split: figures are to be measured on them."""
    clips: Positive | None = None
    """At most as many of each set; none: all."""


class Config(Record, frozen=True, kw_only=True):
    """A whole pre-training."""

    kind: Literal["acoustic", "text"] = "acoustic"
    """``acoustic`` finds hidden frames of speech, ``text`` hidden tokens of transcripts."""
    seed: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to train; never replaced silently."""
    data: Data = Data()
    acoustic: Acoustic = Acoustic()
    text: Text = Text()
    vocabulary: Annotated[int, Meta(ge=300, le=50_000)] = 2_000
    """Tokens, learnt from the transcripts, for ``text``."""
    clusters: Clusters = Clusters()
    masked: Masked = Masked()

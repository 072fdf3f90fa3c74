"""Media that callers upload, and how much of it is taken."""

from typing import Annotated

from msgspec import Meta

from contracts._base import Positive, Record

IMAGE_TYPES = ("image/png", "image/jpeg")
"""Media types that image routes take as the body or as a multipart part."""

MIB = 1024 * 1024


class ImageLimits(Record, frozen=True, kw_only=True):
    """Checked before any pixel is decoded."""

    bytes: Positive = 10 * MIB
    pixels: Positive = 25_000_000
    """Width times height as the header states it: a small file may unpack to gigabytes."""


IMAGE_LIMITS = ImageLimits()

AUDIO_TYPES = (
    "audio/wav",
    "audio/x-wav",
    "audio/flac",
    "audio/x-flac",
    "audio/ogg",
    "audio/opus",
    "audio/mpeg",
    "audio/mp3",
    "application/octet-stream",
)
"""Media types that audio routes take; what the bytes really are is read from them."""


class AudioLimits(Record, frozen=True, kw_only=True):
    """Of one clip."""

    bytes: Positive = 32 * MIB
    seconds: Annotated[float, Meta(gt=0.0)] = 900.0
    shortest: Annotated[float, Meta(gt=0.0)] = 0.25
    """Seconds; below it there is nothing to hear."""
    silence: Annotated[float, Meta(gt=0.0)] = 1e-4
    """Peak amplitude up to which a clip counts as silent (-80 dB of full scale)."""
    lowest_rate: Positive = 4_000
    """Samples per second; below it there is no music left."""
    highest_rate: Positive = 192_000
    channels: Positive = 8


AUDIO_LIMITS = AudioLimits()

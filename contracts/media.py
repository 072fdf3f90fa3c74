"""Media that callers upload, and how much of it is taken."""

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

"""From an uploaded picture to the numbers a vision graph takes. numpy and pillow only: trainer and server share it."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from common.errors import Malformed, TooLarge, Unsupported
from contracts.media import IMAGE_LIMITS, IMAGE_TYPES, ImageLimits
from contracts.models import ImageInput

# The plugin classes and not Image.open: that warns about large pictures, where we refuse them by a stated limit.
_READERS = {b"\x89PNG\r\n\x1a\n": PngImageFile, b"\xff\xd8\xff": JpegImageFile}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_GROUND = {"dark": 0, "light": 255}


def open_image(data: bytes, limits: ImageLimits = IMAGE_LIMITS) -> Image.Image:
    """Read the header of a PNG or JPEG; no pixel is decoded yet.

    Raises: Malformed (empty or broken), Unsupported (neither format), TooLarge (over ``limits``).
    """
    if not data:
        raise Malformed("the body is empty; send the bytes of a PNG or JPEG picture")
    if len(data) > limits.bytes:
        raise TooLarge(f"the picture has {len(data)} bytes, at most {limits.bytes} are taken; scale it down")
    reader = next((r for magic, r in _READERS.items() if data.startswith(magic)), None)
    if reader is None:
        raise Unsupported(f"the bytes are neither PNG nor JPEG; convert the picture to one of {', '.join(IMAGE_TYPES)}")
    try:
        image = reader(BytesIO(data))
    except _BROKEN as error:
        raise Malformed(f"the picture's header cannot be read ({error}); send the file again") from error
    if image.width * image.height > limits.pixels:
        raise TooLarge(
            f"the picture has {image.width} x {image.height} pixels, at most {limits.pixels} are taken; scale it down"
        )
    return image


def to_input(image: Image.Image, spec: ImageInput, *, invert: bool = False) -> np.ndarray:
    """Decode and convert as the model card says.

    Returns float32 (1, height * width * channels). The picture keeps its proportions: it is scaled to fit and padded
    with the ground colour. One that already has the card's size passes unchanged. Raises Malformed for broken pixels.
    """
    mode, size = ("L" if spec.channels == 1 else "RGB"), (spec.width, spec.height)
    try:
        # Decodes a large JPEG at 1/2, 1/4 or 1/8, never below four times the wanted size: memory stays small.
        image.draft(mode, (4 * spec.width, 4 * spec.height))
        image = ImageOps.exif_transpose(image)
        image = _flatten(image, mode, _GROUND[spec.ground] ^ (255 if invert else 0))
    except _BROKEN as error:
        raise Malformed(f"the picture's pixels cannot be decoded ({error}); send the file again") from error
    if invert:
        image = ImageOps.invert(image)
    if image.size != size:
        image = ImageOps.pad(image, size, Image.Resampling.BILINEAR, color=(_GROUND[spec.ground],) * spec.channels)
    return normalise(np.asarray(image)[None], spec)


def normalise(images: np.ndarray, spec: ImageInput) -> np.ndarray:
    """uint8 (batch, height, width[, channels]) -> float32 (batch, height * width * channels)."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    return (flat / np.float32(255) - np.float32(spec.mean)) / np.float32(spec.std)


def _flatten(image: Image.Image, mode: str, ground: int) -> Image.Image:
    """To ``mode`` without transparency: what shines through is the ground colour."""
    if image.mode.startswith("I"):  # 16-bit grey; pillow's own conversion would clip it
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, (ground, ground, ground, 255))
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    return image.convert(mode)

"""Pictures of every kind become the numbers the model card asks for, or a clear refusal."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from common.errors import Malformed, TooLarge, Unsupported
from contracts.media import ImageLimits
from contracts.models import ImageInput
from vision_nlp.features import normalise, open_image, to_input

GREY = ImageInput(height=28, width=28, channels=1)


def png(array: np.ndarray, mode: str | None = None, **options: object) -> bytes:
    return encode(Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode), "PNG", **options)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def grey(seed: int = 0, size: tuple[int, int] = (28, 28)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


@given(st.integers(0, 2**32 - 1))
def test_a_png_of_the_cards_size_passes_bit_exact(seed: int) -> None:
    image = grey(seed)
    np.testing.assert_array_equal(to_input(open_image(png(image)), GREY), image.reshape(1, -1).astype(np.float32) / 255)


def test_normalise_is_the_stated_formula() -> None:
    spec = ImageInput(height=1, width=3, channels=1, mean=0.5, std=0.5)
    out = normalise(np.array([[[0, 51, 255]]], np.uint8), spec)
    np.testing.assert_allclose(out, [[-1.0, -0.6, 1.0]], rtol=1e-6)
    assert out.dtype == np.float32


@pytest.mark.parametrize(
    "mode",
    ["1", "P", "RGB", "RGBA", "LA"],
)
def test_every_png_mode_reads_as_the_grey_it_shows(mode: str) -> None:
    image = (grey() > 127).astype(np.uint8) * 255
    got = to_input(open_image(png(image, mode)), GREY)
    np.testing.assert_array_equal(got, image.reshape(1, -1) / np.float32(255))


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    image = grey().astype(np.uint16) * 257
    got = to_input(open_image(encode(Image.fromarray(image), "PNG")), GREY)
    np.testing.assert_allclose(got[0] * 255, (image >> 8).ravel(), atol=1e-3)


def test_transparency_shows_the_ground() -> None:
    clear = Image.new("RGBA", (28, 28), (255, 255, 255, 0))
    assert to_input(open_image(encode(clear, "PNG")), GREY).max() == 0.0
    light = ImageInput(height=28, width=28, channels=1, ground="light")
    assert to_input(open_image(encode(clear, "PNG")), light).min() == 1.0
    assert to_input(open_image(encode(clear, "PNG")), GREY, invert=True).max() == 0.0


def test_invert_is_the_negative() -> None:
    image = grey()
    np.testing.assert_array_equal(
        to_input(open_image(png(image)), GREY, invert=True), to_input(open_image(png(255 - image)), GREY)
    )


def test_another_size_keeps_its_proportions_on_the_ground() -> None:
    wide = np.full((20, 80), 255, np.uint8)
    got = to_input(open_image(png(wide)), GREY).reshape(28, 28)
    rows = got.mean(axis=1)
    assert rows[:10].max() == 0.0
    assert rows[-10:].max() == 0.0
    np.testing.assert_allclose(rows[12:16], 1.0, atol=1e-6)


def test_jpeg_and_its_orientation_tag() -> None:
    image = np.zeros((280, 280), np.uint8)
    image[:140] = 255
    turned = Image.fromarray(image)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    got = to_input(open_image(encode(turned, "JPEG", exif=exif, quality=95)), GREY).reshape(28, 28)
    assert got[20:].mean() > 0.95
    assert got[:8].mean() < 0.05


def test_colour_input() -> None:
    red = Image.new("RGB", (28, 28), (255, 0, 0))
    spec = ImageInput(height=28, width=28, channels=3)
    got = to_input(open_image(encode(red, "PNG")), spec).reshape(28, 28, 3)
    np.testing.assert_array_equal(got[0, 0], [1.0, 0.0, 0.0])
    padded = to_input(open_image(encode(red.resize((56, 28)), "PNG")), spec).reshape(28, 28, 3)
    np.testing.assert_array_equal(padded[0, 0], [0.0, 0.0, 0.0])


@pytest.mark.parametrize("cut", [9, 20, 40, 200, 500])
def test_a_truncated_png_is_malformed(cut: int) -> None:
    with pytest.raises(Malformed, match="send the file again"):
        to_input(open_image(png(grey())[:cut]), GREY)


@pytest.mark.parametrize("cut", [4, 100, 400])
def test_a_truncated_jpeg_is_malformed(cut: int) -> None:
    data = encode(Image.fromarray(grey(size=(64, 64))), "JPEG")
    with pytest.raises(Malformed, match="send the file again"):
        to_input(open_image(data[:cut]), GREY)


@given(st.binary(min_size=1, max_size=200))
def test_noise_behind_a_valid_signature_is_refused_never_a_crash(noise: bytes) -> None:
    for magic in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        with pytest.raises((Malformed, TooLarge)):
            to_input(open_image(magic + noise), GREY)


def test_empty_foreign_and_oversized_bodies() -> None:
    with pytest.raises(Malformed, match="empty"):
        open_image(b"")
    with pytest.raises(Unsupported, match="neither PNG nor JPEG"):
        open_image(encode(Image.new("L", (2, 2)), "GIF"))
    with pytest.raises(TooLarge, match="at most 10 are taken"):
        open_image(png(grey()), ImageLimits(bytes=10))


def test_a_100_megapixel_bomb_is_refused_from_its_header() -> None:
    bomb = encode(Image.new("1", (10_000, 10_000)), "PNG", compress_level=9)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match="10000 x 10000"):
        open_image(bomb)

"""Pixels of published image files, against torchvision, Pillow by hand and numbers worked out by hand."""

import io
import logging
import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets.folder import pil_loader
from torchvision.transforms import Resize

from aikd.engine.sources import decoding
from aikd.engine.sources.decoding import decode, pixel_count, quiet
from aikd.errors import UserError

RNG = np.random.default_rng(0)


def noise(height: int, width: int, *channels: int) -> NDArray[np.uint8]:
    return RNG.integers(256, size=(height, width, *channels), dtype=np.uint8)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def rgb(height: int = 9, width: int = 7) -> Image.Image:
    return Image.fromarray(noise(height, width, 3))


def pixels(data: bytes, path: str = "x.png") -> NDArray[np.uint8]:
    return decode(path, data, short_side=None).pixels


def conversion(data: bytes, path: str) -> str | None:
    return decode(path, data, short_side=None).conversion


def palette() -> Image.Image:
    """Four pixels of the colours 2, 0, 1, 2 of three."""
    image = Image.new("P", (4, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([2, 0, 1, 2])
    return image


COLOURS = [[70, 80, 90], [10, 20, 30], [40, 50, 60], [70, 80, 90]]

CASES = {
    "rgb.jpg": (rgb(), "JPEG", {"quality": 90}, None),
    "progressive.JPEG": (rgb(), "JPEG", {"progressive": True}, None),
    "rgb.png": (rgb(), "PNG", {}, None),
    "rgb.bmp": (rgb(), "BMP", {}, None),
    "rgb.ppm": (rgb(), "PPM", {}, None),
    "rgb.tiff": (rgb(), "TIFF", {"compression": "tiff_lzw"}, None),
    "rgb.webp": (rgb(), "WEBP", {"lossless": True}, None),
    "no-suffix": (rgb(), "PNG", {}, None),
    "0.9971": (rgb(), "PNG", {}, None),
    "folder.png/x.jpg": (rgb(), "JPEG", {}, None),
    "grey.jpg": (rgb().convert("L"), "JPEG", {}, "grey"),
    "grey.png": (rgb().convert("L"), "PNG", {}, "grey"),
    "bit.png": (rgb().convert("1"), "PNG", {}, "1-bit"),
    "la.png": (Image.fromarray(noise(9, 7, 2), "LA"), "PNG", {}, "grey with transparency"),
    "rgba.png": (Image.fromarray(noise(9, 7, 4)), "PNG", {}, "RGBA"),
    "cmyk.jpg": (Image.fromarray(noise(9, 7, 4), "CMYK"), "JPEG", {}, "CMYK"),
    "cmyk.tif": (Image.fromarray(noise(9, 7, 4), "CMYK"), "TIFF", {}, "CMYK"),
    "palette.png": (palette(), "PNG", {}, "palette"),
    "transparent.png": (palette(), "PNG", {"transparency": bytes([0, 128, 255])}, "palette"),
    "palette.gif": (palette(), "GIF", {}, "GIF, palette"),
    "one-transparent.gif": (palette(), "GIF", {"transparency": 1}, "GIF, palette"),
    "grey.gif": (rgb().convert("L"), "GIF", {}, "GIF, palette"),
    "png.jpg": (rgb(), "PNG", {}, "PNG named .jpg"),
    "gif.JPG": (palette(), "GIF", {}, "GIF named .jpg, palette"),
    "bmp.jpeg": (rgb(), "BMP", {}, "BMP named .jpeg"),
    "jpeg.png": (rgb().convert("L"), "JPEG", {}, "JPEG named .png, grey"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_every_kind_of_image_is_what_torchvisions_loader_sees(name: str, tmp_path: Path) -> None:
    image, format, options, kind = CASES[name]
    data = encode(image, format, **options)
    (tmp_path / "x").write_bytes(data)
    decoded = decode(name, data, short_side=None)
    np.testing.assert_array_equal(decoded.pixels, np.array(pil_loader(tmp_path / "x")))
    assert decoded.conversion == kind
    assert (decoded.pixels.dtype, decoded.pixels.shape) == (np.uint8, (image.height, image.width, 3))
    assert decoded.pixels.flags.c_contiguous
    assert pixel_count(name, data) == image.height * image.width


def test_grey_is_three_equal_channels() -> None:
    grey = noise(5, 6)
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(grey))), np.stack([grey] * 3, axis=2))


def test_transparency_is_dropped() -> None:
    """Transparent pixels show the colour behind, as to every loader that converts to RGB."""
    colours = noise(5, 6, 4)
    np.testing.assert_array_equal(pixels(encode(Image.fromarray(colours))), colours[:, :, :3])
    np.testing.assert_array_equal(
        pixels(encode(Image.fromarray(colours[:, :, :2].copy(), "LA"))), colours[:, :, :1].repeat(3, axis=2)
    )


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palettes_are_looked_up(format: str) -> None:
    assert pixels(encode(palette(), format)).tolist() == [COLOURS]


def test_sixteen_bits_are_reduced_to_their_upper_eight() -> None:
    values = np.array([[0, 255, 256, 0x1234, 65535]], np.uint16)
    expected = [[[value] * 3 for value in (0, 0, 1, 0x12, 255)]]
    pgm = b"P5 5 1 65535\n" + values.astype(">u2").tobytes()
    for name, data in {
        "x.png": encode(Image.fromarray(values)),
        "x.tif": encode(Image.fromarray(values), "TIFF"),
        "x.pgm": pgm,
    }.items():
        decoded = decode(name, data, short_side=None)
        assert (decoded.pixels.tolist(), decoded.conversion) == (expected, "16-bit grey"), name


@pytest.mark.parametrize("values", [np.float32([[0.5, 1]]), np.int32([[1, 2]])])
def test_pixels_without_an_agreed_range_are_refused(values: NDArray[Any]) -> None:
    with pytest.raises(UserError, match=r"x\.tif: 32-bit pixels .* have no agreed range"):
        pixels(encode(Image.fromarray(values), "TIFF"), "x.tif")


def test_the_first_frame_of_a_gif_counts() -> None:
    frames = [Image.new("P", (3, 2), colour) for colour in (1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(data, "x.gif").tolist() == [[[200, 0, 0]] * 3] * 2


def test_a_camera_s_jpeg_with_a_preview_is_a_jpeg() -> None:
    image = rgb()
    data = encode(image, "MPO", save_all=True, append_images=[rgb(3, 3)], quality=90)
    decoded = decode("x.jpg", data, short_side=None)
    np.testing.assert_array_equal(decoded.pixels, pixels(encode(image, "JPEG", quality=90), "x.jpg"))
    assert decoded.conversion is None


def test_orientation_in_exif_is_left_alone() -> None:
    image, exif = rgb(4, 8), Image.Exif()
    exif[0x0112] = 6
    turned = encode(image, "JPEG", exif=exif)
    assert Image.open(io.BytesIO(turned)).getexif()[0x0112] == 6
    np.testing.assert_array_equal(pixels(turned, "x.jpg"), pixels(encode(image, "JPEG"), "x.jpg"))


def test_values_are_counted() -> None:
    data = encode(rgb(30, 20))
    decoded = decode("x.png", data, short_side=11, cut_bottom=3)
    assert decoded.histogram.dtype == np.int64
    for channel in range(3):
        expected = np.bincount(decoded.pixels[:, :, channel].ravel(), minlength=256)
        np.testing.assert_array_equal(decoded.histogram[channel], expected)


# Sizes


@pytest.mark.parametrize("side", [1, 16, 31, 32])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (47, 33), (99, 40), (64, 500), (41, 41), (333, 57)])
def test_large_images_are_resized_as_torchvision_does(size: tuple[int, int], side: int) -> None:
    image = rgb(*size)
    found = decode("x.png", encode(image), short_side=side).pixels
    np.testing.assert_array_equal(found, np.array(Resize(side)(image)))


@pytest.mark.parametrize("size", [(32, 32), (32, 90), (31, 33), (500, 7)])
def test_small_images_are_never_enlarged(size: tuple[int, int]) -> None:
    image = rgb(*size)
    np.testing.assert_array_equal(decode("x.png", encode(image), short_side=32).pixels, np.array(image))


def test_the_bottom_is_cut_off_before_anything_is_resized() -> None:
    image = rgb(60, 50)
    whole, data = np.array(image), encode(image)
    np.testing.assert_array_equal(decode("x", data, short_side=None, cut_bottom=20).pixels, whole[:40])
    np.testing.assert_array_equal(
        decode("x", data, short_side=30, cut_bottom=20).pixels,
        np.array(Resize(30)(Image.fromarray(whole[:40].copy()))),
    )
    # 40 rows are left: nothing to reduce to 40, though there were 50 columns and 60 rows.
    assert decode("x", data, short_side=40, cut_bottom=20).pixels.shape == (40, 50, 3)


@pytest.mark.parametrize("rows", [60, 61])
def test_an_image_without_anything_above_its_banner_is_refused(rows: int) -> None:
    with pytest.raises(UserError, match=rf"x\.png: has 60 rows; {rows} are to be cut"):
        decode("x.png", encode(rgb(60, 50)), short_side=None, cut_bottom=rows)


# Damage


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_truncated_images_are_refused(format: str) -> None:
    image = palette().resize((40, 40)) if format == "GIF" else rgb(40, 40)
    data = encode(image, format)
    for length in (0, 1, 10, len(data) // 2, len(data) - 50):
        with pytest.raises(UserError, match=r"^birds/x\.jpg: "):
            pixels(data[:length], "birds/x.jpg")


POSTSCRIPT = encode(rgb(), "EPS")


@pytest.mark.parametrize("data", [b"not an image\n", b"\0" * 1000, b"<html>", b"GIF89a", POSTSCRIPT])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    """PostScript, which Pillow would hand to an interpreter, among it."""
    for read in (pixels, pixel_count):
        with pytest.raises(UserError, match=r"x\.jpg: (not an image; allowed: JPEG, PNG|cannot be decoded)"):
            read(*((data, "x.jpg") if read is pixels else ("x.jpg", data)))
    with pytest.raises(UserError, match=r"x\.eps: not an image"):
        pixels(POSTSCRIPT, "x.eps")


def test_an_empty_file_is_called_so() -> None:
    with pytest.raises(UserError, match=r"x\.jpg: an empty file"):
        pixels(b"", "x.jpg")


def bomb(width: int, height: int) -> bytes:
    """A small PNG that unpacks to a black image."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))

    header = struct.pack(">LLBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(2**20, (1 + (width + 7) // 8) * height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(10_000, 6_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_refused_unopened(width: int, height: int) -> None:
    data = bomb(width, height)
    assert pixels(bomb(80, 100)).shape == (100, 80, 3)
    tracemalloc.start()
    try:
        with quiet(), pytest.raises(UserError, match=r"x\.png: .*pixels"):
            pixels(data)
        with quiet(), pytest.raises(UserError, match=r"x\.png: .*pixels"):
            pixel_count("x.png", data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_the_largest_image_is_a_matter_of_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(rgb(10, 20))
    monkeypatch.setattr(decoding, "PIXELS", 200)
    assert pixel_count("x.png", data) == 200
    monkeypatch.setattr(decoding, "PIXELS", 199)
    with pytest.raises(UserError, match=r"x\.png: 20 × 10 pixels; at most 199 are read"):
        pixels(data)


# What Pillow has to say


def test_pillow_is_kept_quiet_and_only_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = encode(rgb(10, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)  # so Pillow warns of a bomb
    logger = logging.getLogger("PIL.TiffImagePlugin")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet():
            pixels(data)
            logger.error("hidden")
            warnings.warn("of our own", stacklevel=1)
        assert [str(warning.message) for warning in caught] == ["of our own"]
        pixels(data)
        logger.error("shown")
    assert {warning.category for warning in caught[1:]} == {Image.DecompressionBombWarning}
    assert caplog.messages == ["shown"]


@pytest.mark.skipif(
    "AIKD_TEST_DATA" not in os.environ, reason="AIKD_TEST_DATA names no folder of real archives"
)
def test_real_photographs_are_decoded_and_resized_as_torchvision_does(tmp_path: Path) -> None:
    from aikd.engine.sources.containers import open_container

    container = open_container(Path(os.environ["AIKD_TEST_DATA"], "CUB_200_2011-8classes.tgz"))
    names = [name for name in container.names() if name.endswith(".jpg")][::20]
    assert len(names) > 10
    for name, data in container.files(names):
        (tmp_path / "x.jpg").write_bytes(data)
        image = pil_loader(tmp_path / "x.jpg")
        np.testing.assert_array_equal(pixels(data, name), np.array(image))
        smaller = Resize(224)(image) if min(image.size) > 224 else image
        np.testing.assert_array_equal(decode(name, data, short_side=224).pixels, np.array(smaller))

"""One published image file → its pixels as RGB, as the usual loaders of PyTorch see them."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from aikd.errors import UserError

PIXELS = 50_000_000
"""Largest image: 7,000 × 7,000 pixels, as large as any that cameras take."""

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that are read, with the endings of their files. Pillow knows more, one of which runs programs."""

_MODES = {
    "1": "1-bit",
    "L": "grey",
    "LA": "grey with transparency",
    "P": "palette",
    "PA": "palette with transparency",
}


class Decoded(NamedTuple):
    """An image as it is stored."""

    pixels: NDArray[np.uint8]
    """RGB [H, W, 3], contiguous."""
    histogram: NDArray[np.int64]
    """How often each value 0..255 occurs in each channel, [3, 256]."""
    conversion: str | None
    """From what it was converted, and whether its name hides its format; none: it was RGB, and rightly named."""


def pixel_count(path: str, data: bytes) -> int:
    """Pixels of an image, from its header.

    Raises:
        UserError: not an image, or one larger than `PIXELS`.
    """
    with _named_errors(path):
        image = _open(path, data)
        return image.width * image.height


def decode(path: str, data: bytes, *, short_side: int | None, cut_bottom: int = 0) -> Decoded:
    """The pixels of an image file.

    Args:
        path: its name, for messages and to compare with its format.
        short_side: pixels to which a longer short side is reduced, bilinearly with antialiasing, exactly as
            torchvision's `Resize` does it on PIL images; none: the image keeps its size.
        cut_bottom: rows to remove from the bottom, before that.

    Raises:
        UserError: damaged, not an image, larger than `PIXELS`, not higher than `cut_bottom`, or of pixels without
            an agreed range.
    """
    with _named_errors(path):
        image = _open(path, data)
        conversion = _conversion(path, image)
        # Neither EXIF's orientation nor a background behind transparent pixels is applied: no published loader does.
        image = _rgb(path, image)
        if cut_bottom >= image.height:
            raise UserError(f"{path}: has {image.height} rows; {cut_bottom} are to be cut off its bottom")
        if cut_bottom:
            image = image.crop((0, 0, image.width, image.height - cut_bottom))
        image = _reduced(image, short_side)
        histogram = np.array(image.histogram(), np.int64).reshape(3, 256)
        return Decoded(np.asarray(image), histogram, conversion)


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what Pillow warns of and logs: either the image is read all the same, or there is a UserError.

    For the main thread, around everything that others decode meanwhile.
    """
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        logger.setLevel(level)


def _open(path: str, data: bytes) -> Image.Image:
    try:
        image = Image.open(BytesIO(data), formats=list(SUFFIXES))
    except UnidentifiedImageError:
        what = "an empty file" if not data else "not an image"
        raise UserError(f"{path}: {what}; allowed: {', '.join(SUFFIXES)}") from None
    if image.width * image.height > PIXELS:
        raise UserError(f"{path}: {image.width:,} × {image.height:,} pixels; at most {PIXELS:,} are read")
    return image


@contextmanager
def _named_errors(path: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly anything
        raise UserError(f"{path}: cannot be decoded ({str(error) or type(error).__name__})") from None


def _conversion(path: str, image: Image.Image) -> str | None:
    # A camera's preview in a second picture makes a JPEG an "MPO".
    format_ = "JPEG" if image.format == "MPO" else str(image.format)
    suffix = PurePosixPath(path).suffix.lower()
    notes = []
    if any(suffix in suffixes for name, suffixes in SUFFIXES.items() if name != format_):
        notes.append(f"{format_} named {suffix}")
    elif format_ == "GIF":
        notes.append("GIF")
    if image.mode != "RGB":
        notes.append("16-bit grey" if _is_16_bit(image) else _MODES.get(image.mode, image.mode))
    return ", ".join(notes) or None


def _is_16_bit(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def _rgb(path: str, image: Image.Image) -> Image.Image:
    if _is_16_bit(image):
        # Pillow's own conversion cuts off at 255, which leaves white; it reads 16-bit colour by the upper byte.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UserError(
            f"{path}: 32-bit pixels ({image.mode}) have no agreed range; convert it to 8 bits a channel"
        )
    if image.mode != "RGB":
        return image.convert("RGB")
    image.load()  # converting it would copy it
    return image


def _reduced(image: Image.Image, short_side: int | None) -> Image.Image:
    short, long = sorted(image.size)
    if short_side is None or short <= short_side:
        return image
    other = int(short_side * long / short)
    size = (short_side, other) if image.width <= image.height else (other, short_side)
    return image.resize(size, Image.Resampling.BILINEAR)

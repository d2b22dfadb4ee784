"""What an epoch does to its images, drawn on the CPU before the epoch starts; no image is touched here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aikd.errors import UserError
from aikd.streams import Stream, generator

if TYPE_CHECKING:
    from aikd.study.catalogue import Transform

Settings = Mapping[str, float]
Boxes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

# Random resized crop (Szegedy et al., 2015): share of the image's area, log-uniform width / height, tries.
AREA_SHARE = (0.08, 1.0)
ASPECT_RATIO = (3 / 4, 4 / 3)
TRIES = 10


@dataclass(frozen=True, eq=False)
class Crops:
    """One crop an image: int32 arrays [n] in pixels, and whether it is mirrored left to right, bool [n].

    `top` and `left` of a padded crop count from the corner of the padded image.
    """

    top: NDArray[np.int32]
    left: NDArray[np.int32]
    height: NDArray[np.int32]
    width: NDArray[np.int32]
    flip: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Mix:
    """How one batch is mixed. Rectangles are (y0, y1, x0, x1) in pixels, ends excluded.

    The labels of image i are `lam` of its own and `1 - lam` of image `partner[i]`'s.
    """

    lam: float = 1.0
    partner: NDArray[np.int64] | None = None  # a permutation of the batch: Mixup and CutMix
    box: tuple[int, int, int, int] | None = None  # CutMix: what is taken from the partner
    squares: NDArray[np.int32] | None = None  # Cutout: [b, 4], what is erased from each image


@dataclass(frozen=True, eq=False)
class EpochDraws:
    """Everything random about the images of one epoch.

    `order` [n] lists the images in visiting order and `crops` follow it; `batches` are the sizes of the
    consecutive batches, with one of `mixes` each.
    """

    order: NDArray[np.int64]
    batches: list[int]
    crops: Crops
    mixes: list[Mix]


def draw_epoch(
    seed: int,
    epoch: int,
    n: int,
    batch_size: int,
    image_size: ArrayLike,
    *,
    transform: Transform,
    augmentation_name: str,
    augmentation_settings: Settings,
) -> EpochDraws:
    """Draw epoch `epoch` (from 0) over `n` images; order, crops and mixes come from independent streams.

    `image_size` is (H, W), or one such row an image, [n, 2] in storage order. Raises UserError as
    `draw_crops` and `draw_mix` do.
    """
    order = generator(seed, Stream.ORDER, epoch).permutation(n)
    batches = batch_sizes(n, batch_size)
    sizes = np.broadcast_to(np.asarray(image_size), (n, 2))[order]
    crops = draw_crops(generator(seed, Stream.CROP, epoch), n, sizes, transform)
    side = (transform.size, transform.size)
    mix_rng = generator(seed, Stream.MIX, epoch)
    mixes = draw_mix(mix_rng, batches, augmentation_name, augmentation_settings, side)
    return EpochDraws(order, batches, crops, mixes)


def batch_sizes(n: int, batch_size: int) -> list[int]:
    """Cut `n` images into ceil(n / batch_size) batches; a last batch of one image joins the one before it.

    BatchNorm over a batch needs two images. A set of a single image stays one batch of one.
    """
    full, rest = divmod(n, batch_size)
    sizes = [batch_size] * full + [rest] * (rest > 0)
    if len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [sizes[-2] + 1]
    return sizes


def draw_crops(rng: np.random.Generator, n: int, image_size: ArrayLike, transform: Transform) -> Crops:
    """Draw one crop for each of `n` images of `image_size` (H, W), or [n, 2] where the sizes differ.

    Raises UserError if a padded crop is larger than an image with its padding.
    """
    height, width = np.broadcast_to(np.asarray(image_size, dtype=np.int64), (n, 2)).T
    if transform.crop == "padded":
        boxes = _padded_boxes(rng, height, width, transform.size, transform.padding)
    else:
        boxes = _resized_boxes(rng, height, width)
    flip = rng.random(n) < 0.5 if transform.flip else np.zeros(n, dtype=np.bool_)
    top, left, h, w = (edge.astype(np.int32) for edge in boxes)
    return Crops(top, left, h, w, flip)


def _padded_boxes(
    rng: np.random.Generator, height: NDArray[np.int64], width: NDArray[np.int64], size: int, padding: int
) -> Boxes:
    room_y, room_x = height + 2 * padding - size, width + 2 * padding - size
    if min(room_y.min(initial=0), room_x.min(initial=0)) < 0:
        raise UserError(
            f"transform: a padded crop of size {size} does not fit into every image: the smallest sides are "
            f"{height.min()}×{width.min()} pixels, with padding {padding}; lower `size` or raise `padding`"
        )
    side = np.full_like(height, size)
    return rng.integers(0, room_y + 1), rng.integers(0, room_x + 1), side, side


def _resized_boxes(rng: np.random.Generator, height: NDArray[np.int64], width: NDArray[np.int64]) -> Boxes:
    """The first of ten random rectangles that fits; if none does, the largest central one allowed."""
    shape = (len(height), TRIES)
    low, high = ASPECT_RATIO
    area = rng.uniform(*AREA_SHARE, shape) * (height * width)[:, None]
    ratio = np.exp(rng.uniform(math.log(low), math.log(high), shape))
    widths = np.rint(np.sqrt(area * ratio)).astype(np.int64)
    heights = np.rint(np.sqrt(area / ratio)).astype(np.int64)
    fits = (widths > 0) & (widths <= width[:, None]) & (heights > 0) & (heights <= height[:, None])

    found, first = fits.any(axis=1), (np.arange(len(height)), fits.argmax(axis=1))
    h = np.where(found, heights[first], np.minimum(height, np.rint(width / low)).astype(np.int64))
    w = np.where(found, widths[first], np.minimum(width, np.rint(height * high)).astype(np.int64))
    top = np.where(found, rng.integers(0, height - h + 1), (height - h) // 2)
    left = np.where(found, rng.integers(0, width - w + 1), (width - w) // 2)
    return top, left, h, w


def draw_mix(
    rng: np.random.Generator, sizes: list[int], name: str, settings: Settings, image_size: tuple[int, int]
) -> list[Mix]:
    """Draw one `Mix` for each batch size; `image_size` is (H, W) after cropping.

    `name` and its `settings`: "standard" (none); "cutout", side in pixels; "mixup", alpha; "cutmix", beta and
    probability. Raises UserError for any other name.
    """
    if name not in _MIXES:
        raise UserError(f"augmentation: unknown name {name!r}; allowed: {', '.join(_MIXES)}")
    return [_MIXES[name](rng, size, settings, image_size) for size in sizes]


def _span(centre: ArrayLike, side: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels of a segment of length `side` around a centre pixel that lie in 0..limit."""
    start = np.asarray(centre) - side // 2
    return np.clip(start, 0, limit), np.clip(start + side, 0, limit)


def _standard(rng: np.random.Generator, b: int, settings: Settings, image_size: tuple[int, int]) -> Mix:
    return Mix()


def _cutout(rng: np.random.Generator, b: int, settings: Settings, image_size: tuple[int, int]) -> Mix:
    """DeVries & Taylor (2017): the centre is any pixel, so that a square may lie partly outside."""
    side = int(settings["side"])
    centres = rng.integers(0, image_size, (b, 2))
    spans = [_span(centres[:, axis], side, image_size[axis]) for axis in (0, 1)]
    return Mix(squares=np.stack([*spans[0], *spans[1]], axis=1).astype(np.int32))


def _mixup(rng: np.random.Generator, b: int, settings: Settings, image_size: tuple[int, int]) -> Mix:
    """Zhang et al. (2018): one share a batch."""
    lam = float(rng.beta(settings["alpha"], settings["alpha"]))
    return Mix(lam, partner=rng.permutation(b))


def _cutmix(rng: np.random.Generator, b: int, settings: Settings, image_size: tuple[int, int]) -> Mix:
    """Yun et al. (2019): the share becomes that of the pixels really kept after clipping and rounding."""
    if rng.random() >= settings["probability"]:
        return Mix()
    cut = np.sqrt(1 - rng.beta(settings["beta"], settings["beta"]))
    partner = rng.permutation(b)
    # The authors' code goes half the cut to either side of the centre, hence an even number of pixels.
    spans = [_span(rng.integers(0, size), 2 * int(cut * size / 2), size) for size in image_size]
    (y0, y1), (x0, x1) = ((int(start), int(end)) for start, end in spans)
    height, width = image_size
    lam = 1 - (y1 - y0) * (x1 - x0) / (height * width)
    return Mix(lam, partner, box=(y0, y1, x0, x1))


_MIXES: dict[str, Callable[[np.random.Generator, int, Settings, tuple[int, int]], Mix]] = {
    "standard": _standard,
    "cutout": _cutout,
    "mixup": _mixup,
    "cutmix": _cutmix,
}

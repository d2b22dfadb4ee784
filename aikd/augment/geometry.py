"""Crops, flips and resizing of uint8 images: whole batches on the device that holds them, or one by one on the host.

Nothing here waits for the device: shapes follow from arguments, never from the values of a tensor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from aikd.augment.draws import Crops
from aikd.errors import UserError


class CropTensors(NamedTuple):
    """`Crops` on the images' device: int32 [n] in pixels, `flip` bool [n]."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor


def crops_to(crops: Crops, device: torch.device | str) -> CropTensors:
    """Move an epoch's crops to `device` in a single copy."""
    rows = np.stack([crops.top, crops.left, crops.height, crops.width, crops.flip.astype(np.int32)])
    top, left, height, width, flip = torch.from_numpy(rows).to(device).unbind()
    return CropTensors(top, left, height, width, flip.bool())


def padded_crop(
    images: Tensor, index: Tensor, top: Tensor, left: Tensor, *, size: int, padding: int, flip: Tensor
) -> Tensor:
    """Pad images with zeros on all sides, crop them at (top, left) and mirror those with `flip`.

    `images` uint8 [N, 3, H, W], `index` int [B] chooses from them, `top`, `left` and `flip` are [B]; returns
    uint8 [B, 3, size, size]. Only the chosen images are copied.
    """
    padded = F.pad(images.index_select(0, index), (padding,) * 4)
    down, across = _steps(size, flip)
    y, x = top.unsqueeze(1) + down, left.unsqueeze(1) + across
    pixels = (y * padded.shape[3]).unsqueeze(2) + x.unsqueeze(1)
    pixels = pixels.long().flatten(1).unsqueeze(1).expand(-1, padded.shape[1], -1)
    return padded.flatten(2).gather(2, pixels).view(-1, padded.shape[1], size, size)


def resized_crop(
    images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, *, size: int, flip: Tensor
) -> Tensor:
    """Cut a rectangle out of each image, resize it to a square and mirror those with `flip`.

    `images` uint8 [B, 3, H, W], the others [B] in pixels; returns float32 [B, 3, size, size] in 0..255, not
    rounded. Bilinear with antialiasing, as torchvision's `resized_crop` on float tensors.
    """
    down, across = _steps(size, flip)
    rows = _triangle(images.shape[2], top, height, size, down)
    columns = _triangle(images.shape[3], left, width, size, across)
    return _resample(images, rows, columns)


def resize_and_centre_crop(images: Tensor, resize: int | None, size: int) -> Tensor:
    """Resize the short side to `resize` (None: leave it), then cut the central square: the test transform.

    `images` uint8 [B, 3, H, W]; returns float32 [B, 3, size, size] in 0..255, not rounded. Long side and
    offsets are rounded as by torchvision's `Resize` and `CenterCrop`. Raises UserError if the square is too
    large for the resized image.
    """
    height, width = images.shape[2:]
    (new_height, new_width), top, left = _central(height, width, resize, size)
    if (new_height, new_width) == (height, width):
        return images[:, :, top : top + size, left : left + size].float()
    zero, tall, wide = (
        torch.full((1,), value, dtype=torch.int32, device=images.device) for value in (0, height, width)
    )
    steps = _count(size, images.device).unsqueeze(0)
    rows = _triangle(height, zero, tall, new_height, steps + top)
    columns = _triangle(width, zero, wide, new_width, steps + left)
    return _resample(images, rows, columns)


def cut_and_resize(
    image: NDArray[np.uint8], top: int, left: int, height: int, width: int, *, size: int
) -> NDArray[np.uint8]:
    """Cut a rectangle out of one image on the host and resize it to a square.

    `image` uint8 [H, W, 3], only the rectangle of which is read; returns uint8 [size, size, 3]. Bilinear with
    antialiasing, rounded, as torchvision's `resized_crop` on uint8 images.
    """
    return _resized(image[top : top + height, left : left + width], size, size)


def resize_and_cut_centre(image: NDArray[np.uint8], resize: int | None, size: int) -> NDArray[np.uint8]:
    """`resize_and_centre_crop` of one image on the host, rounded: uint8 [H, W, 3] to [size, size, 3]."""
    height, width = image.shape[:2]
    resized, top, left = _central(height, width, resize, size)
    if resized != (height, width):
        image = _resized(image, *resized)
    return image[top : top + size, left : left + size]


def mirrored(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One image on the host, contiguous uint8 [H, W, 3], turned left to right: a contiguous copy."""
    # Pixels as units of three bytes: moved in half the time of single ones. torch would start threads for it.
    copy: NDArray[np.uint8] = np.ascontiguousarray(image.view("V3")[:, ::-1]).view(np.uint8)
    return copy


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(x / 255 - mean) / std a channel, as float32 [B, 3, H, W] in the memory format of `images`.

    `images` in 0..255 of any type; `mean` and `std` float [3], fractions of 1, on the images' device.
    """
    # Written out over one image: broadcasting three numbers is five times slower in channels_last memory.
    shift, scale = (
        torch.zeros_like(images[:1], dtype=torch.float32).add_(255 * moment.view(1, -1, 1, 1))
        for moment in (mean, std)
    )
    return images.to(torch.float32, copy=True).sub_(shift).div_(scale)


def normalise_image(
    image: NDArray[np.uint8], mean: NDArray[np.float32], std: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """`normalise` of one image on the host, bit for bit, on the thread that asks for it.

    `image` uint8 [H, W, 3]; `mean` and `std` [3], fractions of 1; `out` contiguous [H, W, 3] takes the result.
    """
    height, width, _ = image.shape
    # Written out over one row, as above.
    shift, scale = (np.tile(np.float32(255) * moment, width) for moment in (mean, std))
    rows = out.reshape(height, -1)
    np.subtract(image.reshape(height, -1), shift, out=rows)
    np.divide(rows, scale, out=rows)


def check_centre(sizes: NDArray[np.int64], resize: int | None, size: int) -> None:
    """Refuse images, of heights and widths [N, 2], of which one is too small for the test transform.

    Raises:
        UserError: says which size one of them has.
    """
    height, width = sizes[sizes.min(axis=1).argmin()].tolist()
    _central(height, width, resize, size)


def _central(height: int, width: int, resize: int | None, size: int) -> tuple[tuple[int, int], int, int]:
    """Height and width after resizing the short side to `resize`; top and left of the central square then.

    Raises UserError if the square is too large.
    """
    short = min(height, width)
    target = short if resize is None else resize
    new_height, new_width = int(target * height / short), int(target * width / short)
    if size > target:
        raise UserError(
            f"transform: a centre crop of size {size} does not fit into a test image of "
            f"{new_height}×{new_width} pixels; lower `size` or set `resize` to at least {size}"
        )
    return (new_height, new_width), round((new_height - size) / 2), round((new_width - size) / 2)


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    # The copy is writable, which torch insists on, and read from a file without holding Python's lock. In this
    # layout torch resizes single bytes in a vectorised kernel, on the thread that asks for it.
    pixels = torch.from_numpy(np.array(image[np.newaxis], order="C")).permute(0, 3, 1, 2)
    resized = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
    array: NDArray[np.uint8] = resized[0].permute(1, 2, 0).numpy()
    return array


def _count(n: int, device: torch.device) -> Tensor:
    return torch.arange(n, dtype=torch.int32, device=device)


def _steps(size: int, flip: Tensor) -> tuple[Tensor, Tensor]:
    """0..size-1 for the rows of a crop [1, size], and for its columns [B, size]: backwards where mirrored."""
    down = _count(size, flip.device).unsqueeze(0)
    return down, torch.where(flip.unsqueeze(1), down.flip(1), down)


def _triangle(length: int, start: Tensor, extent: Tensor, resized: int, steps: Tensor) -> Tensor:
    """What each of `length` pixels adds to each output pixel: float32 [B, steps, length], rows summing to 1.

    The pixels start..start+extent-1 (both int32 [B]) are resized to `resized` pixels, of which `steps`
    [B or 1, steps] are wanted. On the centre of each lies a triangle that falls to 0 at a distance of one
    pixel of the coarser grid. In units of 1 / (2·resized) of a pixel all positions are whole numbers, which
    makes the weights exact up to the one division.
    """
    extent = extent.view(-1, 1, 1)
    pixel = _count(length, steps.device) - start.view(-1, 1, 1)
    distance = ((2 * pixel + 1) * resized - (2 * steps.unsqueeze(2) + 1) * extent).abs()
    weight = (2 * extent.clamp(min=resized) - distance).clamp(min=0)
    weight = weight * ((pixel >= 0) & (pixel < extent))
    return weight / weight.sum(2, keepdim=True)


def _resample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows · image · columnsᵀ for every channel, in full precision whatever autocast says."""
    with torch.autocast(images.device.type, enabled=False):
        narrow = images.float().flatten(1, 2) @ columns.mT
        return torch.matmul(rows.unsqueeze(1), narrow.view(*images.shape[:3], -1))

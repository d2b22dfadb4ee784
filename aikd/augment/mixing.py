"""Cutout, Mixup and CutMix on whole normalised batches, on the device that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aikd.augment.draws import Mix


@dataclass(frozen=True, eq=False)
class MixTensors:
    """A `Mix` with its arrays on the images' device; `lam` and `box` stay plain numbers on the host."""

    lam: float
    partner: Tensor | None
    box: tuple[int, int, int, int] | None
    squares: Tensor | None


def mixes_to(mixes: Sequence[Mix], device: torch.device | str) -> list[MixTensors]:
    """Move an epoch's mixes to `device` in one copy for all partners and one for all squares."""
    partners = _move([mix.partner for mix in mixes], device)
    squares = _move([mix.squares for mix in mixes], device)
    return [MixTensors(m.lam, p, m.box, s) for m, p, s in zip(mixes, partners, squares, strict=True)]


def _move(arrays: Sequence[np.ndarray | None], device: torch.device | str) -> list[Tensor | None]:
    present = [array for array in arrays if array is not None]
    if not present:
        return [None] * len(arrays)
    moved = torch.from_numpy(np.concatenate(present)).to(device)
    parts = iter(torch.split(moved, [len(array) for array in present]))
    return [None if array is None else next(parts) for array in arrays]


def apply_mix(images: Tensor, mix: MixTensors) -> Tensor:
    """Mix normalised images, float [B, 3, H, W]; returns `images` itself if nothing is mixed.

    Cutout sets its squares to 0, the mean; CutMix fills the box from the partners; Mixup weighs every pixel,
    `lam * image + (1 - lam) * partner`.
    """
    if mix.squares is not None:
        return images * ~_inside(mix.squares, *images.shape[2:])
    if mix.partner is None:
        return images
    if mix.box is None:
        return images[mix.partner].lerp_(images, mix.lam)
    y0, y1, x0, x1 = mix.box
    mixed = images.clone()
    mixed[:, :, y0:y1, x0:x1] = images[mix.partner, :, y0:y1, x0:x1]
    return mixed


def _inside(squares: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in each image's square (y0, y1, x0, x1): bool [B, 1, height, width]."""
    y0, y1, x0, x1 = squares.unsqueeze(2).unbind(1)
    y = torch.arange(height, device=squares.device)
    x = torch.arange(width, device=squares.device)
    rows, columns = (y0 <= y) & (y < y1), (x0 <= x) & (x < x1)
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)

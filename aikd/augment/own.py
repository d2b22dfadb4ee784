"""An extension's augmentation, called batch by batch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aikd.errors import UserError
from aikd.study.fields import Section
from aikd.study.registry import Own

Mixed = tuple[Tensor, Tensor | None, float]
"""Images [B, 3, H, W]; for each the position in the batch of the image mixed in, int64 [B], or None; and λ."""


def own_mix(
    own: Own[type[Section]], settings: Mapping[str, Any], rng: np.random.Generator
) -> Callable[[Tensor], Mixed]:
    """What an extension does to the consecutive batches of an epoch.

    Args:
        settings: of the augmentation, from the run's resolved settings.
        rng: of the epoch; the function draws from it, batch after batch.

    Raises:
        UserError: when it is called, if the function returns what is no batch of such images, or no partners and λ.
    """
    checked = own.spec.model_validate(settings)

    def apply(images: Tensor) -> Mixed:
        found = own.implementation(images, rng, checked)
        mixed, partner, lam = found if isinstance(found, tuple) and len(found) == 3 else (found, None, 1.0)
        where = f"{own.source.file}: {own.implementation.__name__} returned"
        if not isinstance(mixed, Tensor) or _kind(mixed) != _kind(images):
            what = _kind(mixed) if isinstance(mixed, Tensor) else type(mixed).__name__
            raise UserError(
                f"{where} {what}; expected are images {_kind(images)}, or these with partners and λ"
            )
        return mixed, _partner(where, partner, images), _share(where, lam)

    return apply


def _kind(images: Tensor) -> str:
    return f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)} on {images.device}"


def _partner(where: str, found: Any, images: Tensor) -> Tensor | None:
    """Positions int64 [B] on the device of the images; checked on the host, where they mostly are."""
    if found is None:
        return None
    partner, batch = torch.as_tensor(found), len(images)
    whole = not (partner.is_floating_point() or partner.is_complex() or partner.dtype == torch.bool)
    if partner.shape != (batch,) or not whole or not 0 <= int(partner.min()) <= int(partner.max()) < batch:
        raise UserError(
            f"{where} partners {_kind(partner)}; expected are whole numbers 0 to {batch - 1}, [{batch}]"
        )
    return partner.to(device=images.device, dtype=torch.int64)


def _share(where: str, found: Any) -> float:
    try:
        lam = float(found)
    except (TypeError, ValueError, RuntimeError):
        lam = -1.0
    if not 0 <= lam <= 1:
        shown = list(found.shape) if hasattr(found, "shape") and found.shape else found
        raise UserError(f"{where} λ = {shown}; expected is one number from 0 to 1, for the whole batch")
    return lam

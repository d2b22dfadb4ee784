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
        UserError: when it is called, if the function returns what is no batch of such images.
    """
    checked = own.spec.model_validate(settings)

    def apply(images: Tensor) -> Mixed:
        found = own.implementation(images, rng, checked)
        mixed, partner, lam = found if isinstance(found, tuple) and len(found) == 3 else (found, None, 1.0)
        if not isinstance(mixed, Tensor) or mixed.shape != images.shape:
            what = list(mixed.shape) if isinstance(mixed, Tensor) else type(mixed).__name__
            raise UserError(
                f"{own.source.file}: {own.implementation.__name__} returned {what}; expected are images of shape "
                f"{list(images.shape)}, or these with partners and λ"
            )
        if partner is not None:
            partner = torch.as_tensor(partner, dtype=torch.int64, device=images.device)
        return mixed, partner, float(lam)

    return apply

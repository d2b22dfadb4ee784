"""What an extension's augmentation returns is images like those it was given, with partners and a share, or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aikd.augment import own_mix
from aikd.errors import UserError
from aikd.study.fields import Section
from aikd.study.registry import Own, Source

IMAGES = torch.arange(4 * 3 * 2 * 2, dtype=torch.float32).reshape(4, 3, 2, 2)


class Settings(Section):
    """Nothing to set."""


def applied(returned: Callable[[Tensor], Any]) -> Any:
    def mine(images: Tensor, rng: np.random.Generator, settings: Settings) -> Any:
        return returned(images)

    own: Own[type[Section]] = Own(Settings, mine, Source("mine.py", "0" * 64))
    return own_mix(own, {}, np.random.default_rng(0))(IMAGES)


def test_images_alone_and_images_with_partners_and_a_share() -> None:
    mixed, partner, lam = applied(lambda images: images + 1)
    assert torch.equal(mixed, IMAGES + 1)
    assert (partner, lam) == (None, 1.0)
    for partners in ([3, 2, 1, 0], np.array([3, 2, 1, 0]), torch.tensor([3, 2, 1, 0], dtype=torch.int32)):
        _, partner, lam = applied(lambda images: (images, partners, np.float32(0.25)))  # noqa: B023
        assert partner is not None
        assert partner.dtype == torch.int64
        assert partner.tolist() == [3, 2, 1, 0]
        assert lam == 0.25


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: None, r"returned NoneType; expected are images float32 \[4, 3, 2, 2\] on cpu"),
        (lambda x: x[:2], r"returned float32 \[2, 3, 2, 2\] on cpu; expected"),
        (lambda x: x.double(), r"returned float64 \[4, 3, 2, 2\] on cpu; expected"),
        (lambda x: x.to("meta"), r"returned float32 \[4, 3, 2, 2\] on meta; expected"),
        (
            lambda x: (x, [0, 1, 2], 0.5),
            r"partners int64 \[3\] on cpu; expected are whole numbers 0 to 3, \[4\]",
        ),
        (lambda x: (x, [0, 1, 2, 4], 0.5), "expected are whole numbers 0 to 3"),
        (lambda x: (x, [0, 1, 2, -1], 0.5), "expected are whole numbers 0 to 3"),
        (lambda x: (x, [0.0, 1.0, 2.0, 3.0], 0.5), r"partners float32 \[4\]"),
        (lambda x: (x, [0, 1, 2, 3], 1.7), "λ = 1.7; expected is one number from 0 to 1"),
        (lambda x: (x, [0, 1, 2, 3], float("nan")), "λ = nan; expected"),
        (
            lambda x: (x, [0, 1, 2, 3], torch.rand(4)),
            r"λ = \[4\]; expected is one number from 0 to 1, for the whole",
        ),
        (lambda x: (x, [0, 1, 2, 3], None), "λ = None; expected"),
    ],
)
def test_anything_else_is_one_message_with_the_file(returned: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^mine\.py: mine .*{message}"):
        applied(returned)

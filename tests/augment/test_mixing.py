"""Cutout, Mixup and CutMix of whole batches against loops over images and pixels."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from aikd.augment import Mix, MixTensors, apply_mix, draw_mix, mixes_to

SETTINGS = {
    "standard": {},
    "cutout": {"side": 6},
    "mixup": {"alpha": 1.0},
    "cutmix": {"beta": 1.0, "probability": 0.5},
}
SIZES = [7, 7, 7, 4]
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def batch(b: int = 7, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    images = torch.randn(b, 3, 16, 12, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=layout)


def draw(name: str, sizes: list[int] = SIZES) -> list[Mix]:
    return draw_mix(np.random.default_rng(0), sizes, name, SETTINGS[name], (16, 12))


@pytest.mark.parametrize("name", SETTINGS)
def test_mixes_arrive_on_the_device_batch_by_batch(name: str) -> None:
    drawn = draw(name, SIZES * 5)
    for mix, moved in zip(drawn, mixes_to(drawn, "cpu"), strict=True):
        assert (moved.lam, moved.box) == (mix.lam, mix.box)
        for ours, theirs in ((moved.partner, mix.partner), (moved.squares, mix.squares)):
            assert (ours is None) == (theirs is None)
            if theirs is not None:
                np.testing.assert_array_equal(ours.numpy(), theirs)


def test_standard_leaves_the_batch_alone() -> None:
    images = batch()
    assert apply_mix(images, mixes_to(draw("standard"), "cpu")[0]) is images


def slowly_mixed(images: Tensor, mix: Mix) -> Tensor:
    """Pixel by pixel."""
    mixed = images.clone()
    for i in range(len(images)):
        for y in range(images.shape[2]):
            for x in range(images.shape[3]):
                if mix.squares is not None:
                    y0, y1, x0, x1 = mix.squares[i]
                    if y0 <= y < y1 and x0 <= x < x1:
                        mixed[i, :, y, x] = 0
                elif mix.box is not None:
                    y0, y1, x0, x1 = mix.box
                    if y0 <= y < y1 and x0 <= x < x1:
                        mixed[i, :, y, x] = images[mix.partner[i], :, y, x]
                elif mix.partner is not None:
                    own, other = images[i, :, y, x], images[mix.partner[i], :, y, x]
                    mixed[i, :, y, x] = mix.lam * own + (1 - mix.lam) * other
    return mixed


@LAYOUTS
@pytest.mark.parametrize("name", SETTINGS)
def test_batches_are_mixed_as_by_a_loop_over_pixels(name: str, layout: torch.memory_format) -> None:
    drawn = draw(name)
    for mix, moved in zip(drawn, mixes_to(drawn, "cpu"), strict=True):
        images = batch(7 if mix is not drawn[-1] else 4, layout)
        before = images.clone()
        mixed = apply_mix(images, moved)
        torch.testing.assert_close(mixed, slowly_mixed(images, mix))
        assert torch.equal(images, before)
        assert mixed.is_contiguous(memory_format=layout)


def test_cutmix_keeps_exactly_the_share_of_pixels_that_weighs_the_label() -> None:
    drawn = draw_mix(
        np.random.default_rng(1), [5] * 50, "cutmix", {"beta": 1.0, "probability": 1.0}, (16, 12)
    )
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 16, 12)
    for mix, moved in zip(drawn, mixes_to(drawn, "cpu"), strict=True):
        mixed = apply_mix(images, moved)
        exchanged = torch.from_numpy(mix.partner) != torch.arange(5)
        kept = (mixed == images).double().mean(dim=(1, 2, 3))[exchanged]
        torch.testing.assert_close(kept, torch.full_like(kept, mix.lam), rtol=0, atol=1e-12)


def test_nothing_waits_for_the_gpu() -> None:
    """Fake tensors have no values: reading one on the host, or a shape that depends on one, raises."""
    with FakeTensorMode():
        images = torch.zeros(8, 3, 16, 12, device="cuda")
        partner = torch.zeros(8, dtype=torch.int64, device="cuda")
        squares = torch.zeros(8, 4, dtype=torch.int32, device="cuda")
        for mix in (
            MixTensors(1.0, None, None, squares),
            MixTensors(0.3, partner, None, None),
            MixTensors(0.3, partner, (2, 9, 0, 5), None),
        ):
            mixed = apply_mix(images, mix)
            assert (mixed.device.type, mixed.shape) == ("cuda", (8, 3, 16, 12))

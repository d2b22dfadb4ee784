"""Crops and resizing, of batches and of single images, against torchvision image by image."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms.v2 import functional as tv

from aikd.augment import (
    CropTensors,
    crops_to,
    cut_and_resize,
    draw_crops,
    mirrored,
    normalise,
    normalise_image,
    padded_crop,
    resize_and_centre_crop,
    resize_and_cut_centre,
    resized_crop,
)
from aikd.errors import UserError
from aikd.study.catalogue import Transform


def pictures(n: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def draw(n: int, height: int, width: int, transform: Transform) -> CropTensors:
    return crops_to(draw_crops(np.random.default_rng(0), n, (height, width), transform), "cpu")


def flipped(image: Tensor, flip: Tensor) -> Tensor:
    return tv.horizontal_flip(image) if flip else image


def test_crops_arrive_on_the_device_unchanged() -> None:
    drawn = draw_crops(np.random.default_rng(0), 50, (40, 30), Transform(size=32, crop="resized"))
    moved = crops_to(drawn, "cpu")
    for name in CropTensors._fields:
        np.testing.assert_array_equal(getattr(moved, name).numpy(), getattr(drawn, name))
    assert moved.flip.dtype == torch.bool


@pytest.mark.parametrize(
    ("height", "width", "size", "padding"), [(32, 32, 32, 4), (32, 32, 28, 0), (12, 17, 16, 3), (8, 8, 24, 8)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_padded_crops_equal_torchvisions(
    height: int, width: int, size: int, padding: int, layout: torch.memory_format
) -> None:
    images = pictures(20, height, width)
    index = torch.randperm(20, generator=torch.Generator().manual_seed(1))[:12].repeat(4)
    crops = draw(48, height, width, Transform(size=size, crop="padded", padding=padding))
    expected = [
        flipped(tv.crop(tv.pad(images[i], [padding]), top, left, size, size), flip)
        for i, top, left, flip in zip(index, crops.top.tolist(), crops.left.tolist(), crops.flip, strict=True)
    ]
    images = images.contiguous(memory_format=layout)
    ours = padded_crop(images, index, crops.top, crops.left, size=size, padding=padding, flip=crops.flip)
    assert ours.dtype == torch.uint8
    assert torch.equal(ours, torch.stack(expected))


def crop_and_resize(images: Tensor, crops: CropTensors, size: int) -> Tensor:
    boxes = torch.stack(crops[:4], dim=1).tolist()
    resized = [
        tv.resized_crop(image, *box, [size, size], antialias=True)
        for image, box in zip(images, boxes, strict=True)
    ]
    return torch.stack([flipped(image, flip) for image, flip in zip(resized, crops.flip, strict=True)])


SHAPES = [(32, 32, 32), (64, 64, 32), (40, 90, 24), (150, 130, 112), (20, 20, 64)]


@pytest.mark.parametrize(("height", "width", "size"), SHAPES)
def test_resized_crops_agree_with_torchvisions(height: int, width: int, size: int) -> None:
    """In double precision: torchvision's own single-precision weights are off by up to 0.005 levels."""
    images = pictures(16, height, width)
    crops = draw(16, height, width, Transform(size=size, crop="resized"))
    ours = resized_crop(images, *crops[:4], size=size, flip=crops.flip)
    assert ours.dtype == torch.float32
    assert (ours - crop_and_resize(images.double(), crops, size)).abs().max() < 1e-3
    assert (ours - crop_and_resize(images.float(), crops, size)).abs().max() < 1e-2
    assert (ours.round() - crop_and_resize(images, crops, size).float()).abs().max() <= 1


def test_halving_four_pixels_weighs_them_with_a_triangle() -> None:
    """Output centres at 1 and 3, reach 2: weights .75 .75 .25 0 and 0 .25 .75 .75, divided by their sum."""
    row = torch.tensor([10, 20, 80, 200], dtype=torch.uint8)
    image = row.expand(1, 3, 4, 4)
    zero, four = torch.tensor([0], dtype=torch.int32), torch.tensor([4], dtype=torch.int32)
    ours = resized_crop(image, zero, zero, four, four, size=2, flip=torch.tensor([True]))
    expected = torch.tensor([(20 + 3 * 80 + 3 * 200) / 7, (3 * 10 + 3 * 20 + 80) / 7])
    torch.testing.assert_close(ours, expected.expand(1, 3, 2, 2))


@pytest.mark.parametrize(
    ("height", "width", "resize", "size"),
    [
        (32, 32, None, 32),
        (64, 64, 32, 32),
        (33, 50, None, 28),
        (50, 75, 36, 32),
        (95, 60, 41, 32),
        (20, 31, 41, 37),
    ],
)
def test_the_test_transform_agrees_with_torchvisions(
    height: int, width: int, resize: int | None, size: int
) -> None:
    images = pictures(3, height, width)
    expected = images.double() if resize is None else tv.resize(images.double(), [resize], antialias=True)
    ours = resize_and_centre_crop(images, resize, size)
    assert ours.dtype == torch.float32
    assert (ours - tv.center_crop(expected, [size, size])).abs().max() < 1e-3


def test_a_centre_crop_larger_than_the_test_image_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"size 32 does not fit into a test image of 24×36"):
        resize_and_centre_crop(pictures(1, 20, 30), 24, 32)


def photographs(n: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Random colours in blotches of a few pixels, [height, width, 3]."""
    coarse = pictures(n, height // 4 + 1, width // 4 + 1)
    smooth = tv.resize(coarse, [height, width], antialias=True)
    return [image.permute(1, 2, 0).numpy().copy() for image in smooth]


def as_tensor(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def levels(ours: NDArray[np.uint8], theirs: Any) -> int:
    """Largest difference to a torchvision image, a tensor or one of Pillow's, in grey levels."""
    theirs = theirs.permute(1, 2, 0).numpy() if isinstance(theirs, Tensor) else np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    return int(np.abs(ours.astype(int) - theirs).max())


@pytest.mark.parametrize(("height", "width", "size"), SHAPES)
def test_crops_on_the_host_agree_with_torchvisions(height: int, width: int, size: int) -> None:
    images = photographs(16, height, width)
    crops = draw(16, height, width, Transform(size=size, crop="resized"))
    for image, *edges in zip(images, *(edge.tolist() for edge in crops[:4]), strict=True):
        ours = cut_and_resize(image, *edges, size=size)
        assert levels(ours, tv.resized_crop(as_tensor(image), *edges, [size, size], antialias=True)) <= 1
        assert levels(ours, tv.resized_crop(Image.fromarray(image), *edges, [size, size])) <= 1


def test_a_crop_of_the_wanted_size_is_not_changed() -> None:
    (image,) = photographs(1, 50, 60)
    np.testing.assert_array_equal(cut_and_resize(image, 7, 21, 32, 32, size=32), image[7:39, 21:53])


@pytest.mark.parametrize(
    ("height", "width", "resize", "size"),
    [(33, 50, 41, 37), (90, 61, 36, 32), (36, 77, 36, 32), (77, 36, 36, 31), (33, 50, None, 28)],
)
def test_the_test_transform_on_the_host_agrees_with_torchvisions(
    height: int, width: int, resize: int | None, size: int
) -> None:
    (image,) = photographs(1, height, width)
    ours = resize_and_cut_centre(image, resize, size)
    for theirs in (as_tensor(image), Image.fromarray(image)):
        resized = theirs if resize is None else tv.resize(theirs, [resize], antialias=True)
        most = 0 if resize in (None, height, width) else 1
        assert levels(ours, tv.center_crop(resized, [size, size])) <= most


def test_a_centre_crop_too_large_for_an_image_on_the_host_is_a_user_error() -> None:
    (image,) = photographs(1, 30, 20)
    with pytest.raises(UserError, match=r"size 32 does not fit into a test image of 36×24"):
        resize_and_cut_centre(image, 24, 32)


def test_images_of_a_read_only_file_are_cut_without_a_warning(
    request: pytest.FixtureRequest,
) -> None:
    (image,) = photographs(1, 50, 60)
    image.flags.writeable = False
    before = image.copy()
    torch.set_warn_always(True)  # not just the first time in a process
    request.addfinalizer(lambda: torch.set_warn_always(False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cut_and_resize(image, 7, 21, 40, 30, size=32)
        resize_and_cut_centre(image, 40, 32)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("width", [1, 6, 7])
def test_mirroring_turns_left_and_right(width: int) -> None:
    image = pictures(1, 5, width)[0].permute(1, 2, 0).contiguous().numpy()
    expected = [[row[x].tolist() for x in reversed(range(width))] for row in image]
    turned = mirrored(image)
    assert turned.tolist() == expected
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_image_is_normalised_to_the_bit_as_a_batch_is(layout: torch.memory_format) -> None:
    """Every value of a byte in every channel, and a part of a larger image."""
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for images in (every, pictures(1, 30, 40)[:, :, 3:20, 5:33]):
        expected = normalise(images.contiguous(memory_format=layout), torch.tensor(mean), torch.tensor(std))
        out = np.empty((*images.shape[2:], 3), np.float32)
        moments = np.array(mean, np.float32), np.array(std, np.float32)
        normalise_image(images[0].permute(1, 2, 0).numpy(), *moments, out)
        assert torch.equal(torch.from_numpy(out).permute(2, 0, 1), expected[0])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise_follows_torchvision_and_keeps_layout_and_input(
    layout: torch.memory_format, dtype: torch.dtype
) -> None:
    images = pictures(4, 8, 6).to(dtype).contiguous(memory_format=layout)
    before = images.clone()
    mean, std = [0.51, 0.49, 0.44], [0.27, 0.26, 0.28]
    ours = normalise(images, torch.tensor(mean), torch.tensor(std))
    torch.testing.assert_close(ours, tv.normalize(images.float() / 255, mean, std), rtol=1e-5, atol=1e-6)
    assert ours.is_contiguous(memory_format=layout)
    assert torch.equal(images, before)


def test_resampling_keeps_full_precision_under_autocast() -> None:
    images = pictures(4, 40, 40)
    crops = draw(4, 40, 40, Transform(size=32, crop="resized"))
    plain = resized_crop(images, *crops[:4], size=32, flip=crops.flip)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resized_crop(images, *crops[:4], size=32, flip=crops.flip), plain)


def test_nothing_waits_for_the_gpu() -> None:
    """Fake tensors have no values: reading one on the host, or a shape that depends on one, raises."""
    with FakeTensorMode():
        images = torch.zeros(50, 3, 40, 40, dtype=torch.uint8, device="cuda")
        index = torch.zeros(16, dtype=torch.int64, device="cuda")
        edge = torch.zeros(16, dtype=torch.int32, device="cuda")
        flip = torch.zeros(16, dtype=torch.bool, device="cuda")
        mean = torch.zeros(3, device="cuda")
        results = [
            normalise(
                padded_crop(images, index, edge, edge, size=32, padding=4, flip=flip), mean=mean, std=mean
            ),
            resized_crop(images[:16], edge, edge, edge, edge, size=32, flip=flip),
            resize_and_centre_crop(images[:16], 36, 32),
        ]
        assert {(result.device.type, result.shape, result.dtype) for result in results} == {
            ("cuda", (16, 3, 32, 32), torch.float32)
        }

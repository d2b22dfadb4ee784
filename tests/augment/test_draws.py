"""Crops and mixes of an epoch, against torchvision, closed forms and slow obvious loops."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from aikd.augment import Crops, EpochDraws, batch_sizes, draw_crops, draw_epoch, draw_mix
from aikd.errors import UserError
from aikd.streams import Stream, generator
from aikd.study.catalogue import Transform

PADDED = Transform(size=32, crop="padded", padding=4, flip=True)
RESIZED = Transform(size=32, crop="resized", flip=True)
MIXES = {
    "standard": {},
    "cutout": {"side": 8},
    "mixup": {"alpha": 1.0},
    "cutmix": {"beta": 1.0, "probability": 0.5},
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def epoch(
    number: int = 0, seed: int = 0, name: str = "standard", transform: Transform = PADDED
) -> EpochDraws:
    return draw_epoch(
        seed,
        number,
        300,
        64,
        (32, 32),
        transform=transform,
        augmentation_name=name,
        augmentation_settings=MIXES[name],
    )


def as_array(crops: Crops) -> np.ndarray:
    return np.stack([crops.top, crops.left, crops.height, crops.width, crops.flip])


@given(n=st.integers(1, 3000), batch_size=st.integers(2, 300))
def test_batches_hold_every_image_once_and_never_a_single_one(n: int, batch_size: int) -> None:
    sizes = batch_sizes(n, batch_size)
    assert sum(sizes) == n
    assert all(size == batch_size for size in sizes[:-1])
    assert 2 <= sizes[-1] <= batch_size + 1 or n == 1
    assert len(sizes) == -(-n // batch_size) - (n > 1 and n % batch_size == 1)


def test_batches_of_the_paper() -> None:
    assert batch_sizes(50_000, 128) == [128] * 390 + [80]
    assert batch_sizes(257, 128) == [128, 129]
    assert batch_sizes(1, 128) == [1]


@pytest.mark.parametrize(
    ("size", "padding", "image"), [(32, 4, (32, 32)), (24, 0, (32, 28)), (8, 1, (8, 10))]
)
def test_padded_crops_reach_every_offset_equally_often(
    size: int, padding: int, image: tuple[int, int]
) -> None:
    crops = draw_crops(rng(), 20_000, image, Transform(size=size, crop="padded", padding=padding))
    for offsets, side in ((crops.top, image[0]), (crops.left, image[1])):
        counts = np.bincount(offsets, minlength=side + 2 * padding - size + 1)
        assert len(counts) == side + 2 * padding - size + 1
        assert stats.chisquare(counts).pvalue > 1e-3
    assert set(crops.height.tolist()) == set(crops.width.tolist()) == {size}


def test_half_of_the_images_are_mirrored_and_none_without_flip() -> None:
    for transform in (PADDED, RESIZED):
        assert abs(draw_crops(rng(), 10_000, (32, 32), transform).flip.mean() - 0.5) < 0.02
        still = transform.model_copy(update={"flip": False})
        assert not draw_crops(rng(), 100, (32, 32), still).flip.any()


def test_a_padded_crop_larger_than_the_padded_image_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"size 32 .* 32×20 pixels, with padding 4"):
        draw_crops(rng(), 5, (32, 20), PADDED)


@pytest.mark.parametrize("image", [(32, 32), (64, 64), (120, 200)])
def test_resized_crops_are_distributed_as_torchvisions(image: tuple[int, int]) -> None:
    crops = draw_crops(rng(), 20_000, image, RESIZED)
    picture = torch.empty(3, *image)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = np.array(
            [RandomResizedCrop.get_params(picture, (0.08, 1), (3 / 4, 4 / 3)) for _ in range(3000)]
        )
    ours = np.stack([crops.top, crops.left, crops.height, crops.width], axis=1)
    for measure in (
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 3] / box[:, 2],
        lambda box: box[:, 0],
        lambda box: box[:, 1],
        lambda box: box[:, 0] / np.maximum(image[0] - box[:, 2], 1),
    ):
        assert stats.ks_2samp(measure(ours), measure(theirs)).pvalue > 1e-3


def test_resized_crops_lie_inside_images_of_varying_sizes() -> None:
    sizes = rng(1).integers(5, 300, (5000, 2))
    crops = draw_crops(rng(), 5000, sizes, RESIZED)
    assert min(crops.top.min(), crops.left.min()) == 0
    assert min(crops.height.min(), crops.width.min()) > 0
    assert (crops.top + crops.height <= sizes[:, 0]).all()
    assert (crops.left + crops.width <= sizes[:, 1]).all()


def test_where_no_try_fits_the_largest_allowed_central_crop_is_taken() -> None:
    """A crop of 8 % of the area with a ratio within 3/4..4/3 is higher than 4 pixels: no try can fit."""
    crops = draw_crops(rng(), 2, [(4, 100), (100, 4)], RESIZED)
    assert as_array(crops)[:4].T.tolist() == [[0, 47, 4, 5], [47, 0, 5, 4]]


@pytest.mark.parametrize("transform", [PADDED, RESIZED])
def test_equal_sizes_given_once_or_per_image_draw_the_same(transform: Transform) -> None:
    once, each = (draw_crops(rng(), 50, size, transform) for size in ((32, 40), [(32, 40)] * 50))
    np.testing.assert_array_equal(as_array(once), as_array(each))


def test_cutout_squares_are_centred_on_every_pixel_and_clipped() -> None:
    (mix,) = draw_mix(rng(), [40_000], "cutout", {"side": 7}, (12, 9))
    assert (mix.lam, mix.partner, mix.box) == (1.0, None, None)
    for columns, side in ((slice(0, 2), 12), (slice(2, 4), 9)):
        expected = [[max(c - 3, 0), min(c + 4, side)] for c in range(side)]
        spans, counts = np.unique(mix.squares[:, columns], axis=0, return_counts=True)
        assert spans.tolist() == sorted(expected)
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_mixup_shares_follow_the_beta_distribution(alpha: float) -> None:
    mixes = draw_mix(rng(), [5] * 3000, "mixup", {"alpha": alpha}, (32, 32))
    assert stats.kstest([mix.lam for mix in mixes], stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert all(sorted(mix.partner) == list(range(5)) for mix in mixes)
    assert all(mix.box is None and mix.squares is None for mix in mixes)


def slow_cutmix_share(height: int, width: int, beta: float) -> float:
    """One image, pixel by pixel: the share that stays after a box around a random centre is cut out."""
    ratio = (1 - random.betavariate(beta, beta)) ** 0.5
    cy, cx = random.randrange(height), random.randrange(width)
    half_h, half_w = int(height * ratio) // 2, int(width * ratio) // 2
    cut = sum(
        cy - half_h <= y < cy + half_h and cx - half_w <= x < cx + half_w
        for y in range(height)
        for x in range(width)
    )
    return 1 - cut / (height * width)


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_cutmix_shares_are_distributed_as_in_a_slow_loop(beta: float) -> None:
    random.seed(0)
    slow = [slow_cutmix_share(16, 12, beta) for _ in range(2000)]
    mixes = draw_mix(rng(), [2] * 4000, "cutmix", {"beta": beta, "probability": 1.0}, (16, 12))
    assert stats.ks_2samp([mix.lam for mix in mixes], slow).pvalue > 1e-3


def test_cutmix_lam_is_the_share_outside_a_box_inside_the_image() -> None:
    for mix in draw_mix(rng(), [4] * 500, "cutmix", {"beta": 1.0, "probability": 1.0}, (32, 20)):
        y0, y1, x0, x1 = mix.box
        assert 0 <= y0 <= y1 <= 32
        assert 0 <= x0 <= x1 <= 20
        kept = np.ones((32, 20))
        kept[y0:y1, x0:x1] = 0
        assert mix.lam == pytest.approx(kept.mean(), abs=1e-15)
        assert sorted(mix.partner) == [0, 1, 2, 3]


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_cutmix_mixes_the_given_share_of_batches(probability: float) -> None:
    mixes = draw_mix(rng(), [4] * 2000, "cutmix", {"beta": 1.0, "probability": probability}, (32, 32))
    mixed = [mix for mix in mixes if mix.partner is not None]
    assert stats.binomtest(len(mixed), 2000, probability).pvalue > 1e-3
    assert all(mix.lam == 1 and mix.box is None for mix in mixes if mix.partner is None)


def test_an_unknown_augmentation_is_a_user_error() -> None:
    with pytest.raises(UserError, match="'rotate'; allowed: standard, cutout, mixup, cutmix"):
        draw_mix(rng(), [4], "rotate", {}, (32, 32))


def test_an_epoch_visits_every_image_once_with_a_mix_for_every_batch() -> None:
    for name in MIXES:
        draws = epoch(name=name)
        assert sorted(draws.order) == list(range(300))
        assert draws.batches == [64, 64, 64, 64, 44]
        assert len(draws.mixes) == 5
        for size, mix in zip(draws.batches, draws.mixes, strict=True):
            assert mix.partner is None or len(mix.partner) == size
            assert mix.squares is None or len(mix.squares) == size


def test_order_and_crops_do_not_depend_on_the_augmentation() -> None:
    plain = epoch(3)
    for name in MIXES:
        draws = epoch(3, name=name)
        np.testing.assert_array_equal(draws.order, plain.order)
        np.testing.assert_array_equal(as_array(draws.crops), as_array(plain.crops))


def test_order_does_not_depend_on_the_kind_of_crop() -> None:
    np.testing.assert_array_equal(epoch(3).order, epoch(3, transform=RESIZED).order)


def parts(draws: EpochDraws) -> list[list[int]]:
    squares = np.concatenate([mix.squares for mix in draws.mixes])
    return [draws.order.tolist(), as_array(draws.crops).tolist(), squares.tolist()]


def test_epochs_are_the_same_in_any_order_of_calls() -> None:
    forwards = [parts(epoch(number, name="cutout")) for number in range(4)]
    assert [parts(epoch(number, name="cutout")) for number in (3, 1, 2, 0)] == [
        forwards[number] for number in (3, 1, 2, 0)
    ]


@pytest.mark.parametrize("transform", [PADDED, RESIZED])
def test_order_crops_and_mixes_all_change_with_the_epoch_and_with_the_seed(transform: Transform) -> None:
    first = parts(epoch(0, 0, "cutout", transform))
    for other in (epoch(1, 0, "cutout", transform), epoch(0, 1, "cutout", transform)):
        assert all(a != b for a, b in zip(first, parts(other), strict=True))


def test_order_crops_and_mixes_come_from_streams_of_their_own() -> None:
    draws = epoch(5, 2, "cutout")
    crops = draw_crops(generator(2, Stream.CROP, 5), 300, (32, 32), PADDED)
    mixes = draw_mix(generator(2, Stream.MIX, 5), draws.batches, "cutout", MIXES["cutout"], (32, 32))
    np.testing.assert_array_equal(draws.order, generator(2, Stream.ORDER, 5).permutation(300))
    np.testing.assert_array_equal(as_array(draws.crops), as_array(crops))
    for drawn, mix in zip(draws.mixes, mixes, strict=True):
        np.testing.assert_array_equal(drawn.squares, mix.squares)


def test_crops_follow_the_visiting_order_where_sizes_vary() -> None:
    sizes = rng(1).integers(5, 300, (500, 2))
    draws = draw_epoch(
        0, 0, 500, 64, sizes, transform=RESIZED, augmentation_name="standard", augmentation_settings={}
    )
    assert (draws.crops.top + draws.crops.height <= sizes[draws.order, 0]).all()
    assert (draws.crops.left + draws.crops.width <= sizes[draws.order, 1]).all()

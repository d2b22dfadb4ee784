"""Batches: which images, in which order, with which partners and labels; and which images are trained on."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chisquare
from torch import Tensor
from torch._subclasses import FakeTensorMode

from aikd.augment import draw_epoch
from aikd.engine import training
from aikd.engine.data import Images, TrainingData, training_positions
from aikd.engine.precision import Precision
from aikd.engine.store import Prepared, Split
from aikd.engine.training import Trainer, holdout_data, training_data
from aikd.errors import UserError
from aikd.methods import Batch
from aikd.streams import Stream, generator

CPU = Precision("fp32", torch.device("cpu"))
STANDARD = {"name": "standard"}
PLAIN = {"data": {"transform": {"padding": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}}}
"""Neither crop nor normalisation: inputs are pixels / 255, and tell which image they are."""
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def plain(marked: Prepared, make_settings: Make) -> TrainingData:
    return training_data(make_settings(**PLAIN), marked, CPU)


def batches(data: TrainingData, epoch: int = 0, size: int = 8, seed: int = 0, **options: Any) -> list[Batch]:
    augmentation = options.pop("augmentation", STANDARD)
    return list(data.epoch(seed, epoch, size, augmentation, options.pop("partners", False)))


def stored(prepared: Prepared, split: Split) -> NDArray[np.uint8]:
    """Its images in memory, [N, 3, H, W]."""
    return np.array(prepared.images(split))


def which(images: Tensor) -> Tensor:
    """The image of the `marked` set that every pixel belongs to [B, 3, 8, 8]."""
    return (images * 255).round().long()


def test_an_epoch_shows_every_image_once_with_its_own_label(plain: TrainingData, marked: Prepared) -> None:
    seen = batches(plain)
    index = torch.cat([batch.index for batch in seen])
    assert sorted(index.tolist()) == list(range(41))
    labels = torch.from_numpy(np.array(marked.labels("train")))
    for batch in seen:
        assert (which(batch.images) == batch.index.view(-1, 1, 1, 1)).all()
        assert torch.equal(batch.targets.first, labels[batch.index])
        assert torch.equal(batch.targets.second, batch.targets.first)
        assert torch.equal(batch.mixed, batch.index)
        assert (batch.targets.lam, batch.partners) == (1, None)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(8, [8, 8, 8, 8, 9]), (10, [10, 10, 10, 11]), (40, [41]), (41, [41]), (128, [41]), (39, [39, 2])],
)
def test_a_last_batch_of_one_joins_the_batch_before(plain: TrainingData, size: int, sizes: list[int]) -> None:
    """BatchNorm cannot train on one image."""
    assert [len(batch.index) for batch in batches(plain, size=size)] == sizes


def test_batches_of_an_epoch_do_not_depend_on_the_epochs_before(
    digits: Prepared, make_settings: Make
) -> None:
    data = training_data(make_settings(), digits, CPU)
    straight = [batches(data, epoch, 64, partners=True) for epoch in range(3)]
    torch.manual_seed(7)
    fresh = batches(training_data(make_settings(), digits, CPU), 2, 64, partners=True)
    for mine, theirs in zip(fresh, straight[2], strict=True):
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.index, theirs.index)
        assert mine.partners is not None
        assert theirs.partners is not None
        assert torch.equal(mine.partners, theirs.partners)
    assert not torch.equal(straight[0][0].index, straight[1][0].index)
    assert not torch.equal(batches(data, 2, 64, seed=1)[0].index, fresh[0].index)


def test_crops_are_drawn_anew_for_each_image_and_epoch(digits: Prepared, make_settings: Make) -> None:
    """Padded crops of the digits: each batch image is one of the 9 places of the padded original."""
    data = training_data(
        make_settings(data={"transform": {"mean": [0, 0, 0], "std": [1, 1, 1]}}), digits, CPU
    )
    padded = np.pad(stored(digits, "train"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    places = []
    for epoch in (0, 1):
        for batch in batches(data, epoch, 128):
            for image, index in zip(which(batch.images).numpy(), batch.index.tolist(), strict=True):
                crops = [padded[index, :, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
                found = [place for place, crop in enumerate(crops) if (crop == image).all()]
                assert found
                if len(found) == 1:  # Some digits have an empty margin and look alike in two places.
                    places.append(found[0])
    assert chisquare(np.bincount(places, minlength=9)).pvalue > 1e-3


def test_partners_are_of_the_same_class(plain: TrainingData, marked: Prepared) -> None:
    labels = torch.from_numpy(np.array(marked.labels("train")))
    for batch in batches(plain, partners=True):
        assert batch.partners is not None
        partner = which(batch.partners)[:, 0, 0, 0]
        assert (which(batch.partners) == partner.view(-1, 1, 1, 1)).all()
        assert torch.equal(labels[partner], batch.targets.first)


def test_partners_are_uniform_over_the_class_the_image_itself_included(
    plain: TrainingData, marked: Prepared
) -> None:
    epochs, labels = 2000, np.array(marked.labels("train"))
    drawn = np.stack([plain.partners(generator(0, Stream.PARTNER, epoch)) for epoch in range(epochs)])
    for image in range(len(labels)):
        peers = np.flatnonzero(labels == labels[image])
        counts = np.bincount(drawn[:, image], minlength=len(labels))
        assert counts[peers].sum() == epochs
        assert chisquare(counts[peers]).pvalue > 1e-5
    # Drawn with replacement, one image independently of another.
    same = (drawn[:, labels == 2][:, 0] == drawn[:, labels == 2][:, 1]).mean()
    assert same == pytest.approx(1 / 9, abs=0.03)


def test_partners_are_drawn_anew_every_epoch(plain: TrainingData) -> None:
    def drawn(epoch: int) -> dict[int, int]:
        """Image → its partner."""
        pairs = [(b.index, which(b.partners)[:, 0, 0, 0]) for b in batches(plain, epoch, partners=True)]  # type: ignore[arg-type]
        return {int(i): int(p) for index, partner in pairs for i, p in zip(index, partner, strict=True)}

    first, second = drawn(0), drawn(1)
    assert sum(first[image] != second[image] for image in first) > 20


def test_partners_have_crops_of_their_own(digits: Prepared, make_settings: Make) -> None:
    """An image that is its own partner is seen in another crop, but for chance (1 in 9)."""
    data = training_data(make_settings(data={"images_per_class": 1}), digits, CPU)
    differ = [
        not torch.equal(image, partner)
        for epoch in range(20)
        for batch in batches(data, epoch, partners=True)
        for image, partner in zip(batch.images, batch.partners, strict=True)  # type: ignore[arg-type]
    ]
    assert np.mean(differ) == pytest.approx(8 / 9, abs=0.12)


def test_partners_do_not_change_the_batches(plain: TrainingData) -> None:
    for with_partners, without in zip(batches(plain, partners=True), batches(plain), strict=True):
        assert torch.equal(with_partners.images, without.images)


def test_mixup_mixes_images_labels_and_positions_alike(plain: TrainingData, marked: Prepared) -> None:
    labels = torch.from_numpy(np.array(marked.labels("train")))
    lams = []
    for batch in batches(plain, augmentation={"name": "mixup", "alpha": 1.0}):
        lam = batch.targets.lam
        expected = (lam * batch.index + (1 - lam) * batch.mixed).view(-1, 1, 1, 1) / 255
        torch.testing.assert_close(batch.images, expected.float().expand_as(batch.images))
        assert torch.equal(batch.targets.first, labels[batch.index])
        assert torch.equal(batch.targets.second, labels[batch.mixed])
        lams.append(lam)
    assert len(set(lams)) == len(lams)


def test_cutmix_weighs_labels_by_the_pixels_of_each_image(plain: TrainingData) -> None:
    mixed = 0
    for epoch in range(4):
        for batch in batches(plain, epoch, augmentation={"name": "cutmix", "beta": 1.0, "probability": 0.5}):
            pixels, other = which(batch.images), batch.mixed.view(-1, 1, 1, 1)
            own = (pixels == batch.index.view(-1, 1, 1, 1)).float().mean((1, 2, 3))
            assert ((pixels == batch.index.view(-1, 1, 1, 1)) | (pixels == other)).all()
            moved = batch.mixed != batch.index
            assert own[moved].tolist() == pytest.approx([batch.targets.lam] * int(moved.sum()))
            mixed += batch.targets.lam < 1
    assert 4 <= mixed <= 16


def test_images_are_normalised_by_the_moments_of_the_training_images(
    digits: Prepared, make_settings: Make
) -> None:
    pixels = stored(digits, "train") / 255
    expected = (pixels - pixels.mean((0, 2, 3), keepdims=True)) / pixels.std((0, 2, 3), keepdims=True)
    data = training_data(make_settings(data={"transform": {"padding": 0}}), digits, CPU)
    for batch in batches(data, size=300):
        np.testing.assert_allclose(batch.images, expected[batch.index], atol=1e-4)


def test_padded_batches_are_those_of_a_loop_over_images_to_the_bit(
    digits: Prepared, make_settings: Make
) -> None:
    settings = make_settings(data={"transform": {"flip": True}})
    data = training_data(settings, digits, CPU)
    labels = np.array(digits.labels("train"))
    padded = np.pad(stored(digits, "train"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    mean, std = (255 * torch.tensor(digits.manifest[key]).view(3, 1, 1) for key in ("mean", "std"))
    draws = draw_epoch(
        2,
        5,
        901,
        60,
        (8, 8),
        transform=data.transform,
        augmentation_name="standard",
        augmentation_settings={},
    )
    expected, c = [], draws.crops
    for i, top, left, flip in zip(draws.order, c.top, c.left, c.flip, strict=True):
        cut = padded[i, :, top : top + 8, left : left + 8]
        cut = cut[:, :, ::-1].copy() if flip else cut
        expected.append((torch.from_numpy(cut).float() - mean) / std)
    seen = batches(data, 5, 60, seed=2)
    assert torch.equal(torch.cat([batch.images for batch in seen]), torch.stack(expected))
    assert torch.cat([batch.targets.first for batch in seen]).tolist() == labels[draws.order].tolist()


@pytest.mark.parametrize("crop", ["padded", "resized"])
def test_how_images_of_one_size_lie_in_memory_changes_nothing(
    digits: Prepared, make_settings: Make, request: pytest.FixtureRequest, crop: str
) -> None:
    """Packed images of one size come as a view whose pixels, not channels, lie side by side."""
    settings = make_settings(data={"transform": {"crop": crop}})["data"]
    images, labels = stored(digits, "train"), digits.labels("train")
    strided = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    strided.flags.writeable = False
    chosen = np.arange(3, 900, 2)
    torch.set_warn_always(True)  # not just the first time in a process
    request.addfinalizer(lambda: torch.set_warn_always(False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = TrainingData(digits, settings, images[chosen], labels[chosen], CPU)
        second = TrainingData(digits, settings, strided, labels, CPU, chosen)
    for mine, theirs in zip(batches(first, partners=True), batches(second, partners=True), strict=True):
        assert torch.equal(mine.images, theirs.images)
        assert torch.equal(mine.targets.first, theirs.targets.first)
        assert torch.equal(mine.partners, theirs.partners)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "most"), [(8, 500), (64, 500), (70, 500), (224, 50), (2000, 1)])
def test_fewer_images_are_evaluated_at_once_the_larger_they_are(
    digits: Prepared, make_settings: Make, size: int, most: int
) -> None:
    """Activations of DenseNet at 224 pixels are tens of megabytes an image."""
    settings = make_settings(data={"transform": {"size": size, "resize": size}})["data"]
    with FakeTensorMode():
        precision = Precision("fp32", torch.device("cuda"))
        data = Images(digits, settings, digits.images("test"), digits.labels("test"), precision)
        images, labels = next(data.evaluation())
    assert len(images) == len(labels)
    assert most * 0.9 < len(images) <= most


def test_evaluation_keeps_the_order_and_every_image(digits: Prepared, make_settings: Make) -> None:
    images = training.test_data(make_settings(**PLAIN), digits, CPU)
    inputs, labels = (torch.cat(parts) for parts in zip(*images.evaluation(), strict=True))
    np.testing.assert_allclose(inputs * 255, stored(digits, "test"), atol=1e-3)
    np.testing.assert_array_equal(labels, digits.labels("test"))
    assert len(images) == len(inputs) == 896


def test_memory_layout_is_a_matter_of_speed(digits: Prepared, make_settings: Make) -> None:
    layouts = [
        training_data(make_settings(), digits, Precision("fp32", torch.device("cpu"), channels_last))
        for channels_last in (True, False)
    ]
    (first, *_), (second, *_) = (batches(data, size=64) for data in layouts)
    assert torch.equal(first.images, second.images)
    assert not first.images.is_contiguous()
    assert second.images.is_contiguous()


@pytest.mark.parametrize("name", ["standard", "cutout", "mixup", "cutmix"])
def test_batches_are_made_on_the_gpu(digits: Prepared, make_settings: Make, name: str) -> None:
    settings = make_settings(augmentation=name)
    with FakeTensorMode():
        precision = Precision("fp32", torch.device("cuda"))
        data = TrainingData(
            digits, settings["data"], digits.images("train"), digits.labels("train"), precision
        )
        batch = next(data.epoch(0, 0, 128, settings["augmentation"], False))
        tensors = (batch.images, batch.targets.first, batch.targets.second, batch.index, batch.mixed)
        assert {tensor.device.type for tensor in tensors} == {"cuda"}
        assert batch.images.shape == (128, 3, 8, 8)
        images, labels = next(data.evaluation())
        assert (images.device.type, labels.device.type) == ("cuda", "cuda")


LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), [10, 7, 8, 20]))


def test_all_images_are_trained_on_unless_told_otherwise() -> None:
    kept, held = training_positions(LABELS, None, 0)
    assert kept.tolist() == list(range(45))
    assert held.tolist() == []


@pytest.mark.parametrize("images_per_class", [None, 1, 4])
@pytest.mark.parametrize("holdout_per_class", [0, 1, 3])
def test_held_out_images_are_never_trained_on(images_per_class: int | None, holdout_per_class: int) -> None:
    kept, held = training_positions(LABELS, images_per_class, holdout_per_class)
    assert not set(kept) & set(held)
    assert np.bincount(LABELS[held], minlength=4).tolist() == [holdout_per_class] * 4
    rest = np.bincount(LABELS) - holdout_per_class
    wanted = rest if images_per_class is None else [images_per_class] * 4
    assert np.bincount(LABELS[kept]).tolist() == list(wanted)
    assert (np.diff(kept) > 0).all()
    # The held-out images are the same however many are trained on.
    assert held.tolist() == training_positions(LABELS, None, holdout_per_class)[1].tolist()


def test_fewer_images_are_a_part_of_more() -> None:
    few, more = (set(training_positions(LABELS, n, 1)[0]) for n in (2, 4))
    assert few < more
    few, more = (set(training_positions(LABELS, None, n)[1]) for n in (2, 4))
    assert few < more


def test_a_class_with_too_few_images_is_named() -> None:
    training_positions(LABELS, 5, 2)
    with pytest.raises(UserError, match="need 8 training images of every class; class 1 has 7"):
        training_positions(LABELS, 5, 3)
    with pytest.raises(UserError, match="need 8 training images of every class; class 1 has 7"):
        training_positions(LABELS, None, 7)


def test_trainer_keeps_the_held_out_images_apart(marked: Prepared, make_settings: Make) -> None:
    options = PLAIN["data"] | {"images_per_class": 1, "holdout_per_class": 1}
    settings = make_settings(data=options)
    trainer = Trainer(settings, marked, None, torch.device("cpu"))
    trained = {int(i) for b in batches(trainer.train) for i in which(b.images)[:, 0, 0, 0]}
    held = holdout_data(settings, marked, CPU)
    assert held is not None
    kept_out = {int(i) for images, _ in held.evaluation() for i in which(images)[:, 0, 0, 0]}
    assert (len(trained), len(kept_out), trained & kept_out) == (10, 10, set())
    labels = np.array(marked.labels("train"))
    assert sorted(labels[list(trained)]) == sorted(labels[list(kept_out)]) == list(range(10))
    assert np.array_equal(held.labels, labels[sorted(kept_out)])
    assert holdout_data(make_settings(), marked, CPU) is None

"""Training and evaluation images as network inputs, and the batches made of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aikd.augment import apply_mix, draw_crops, draw_epoch, mixes_to, own_mix
from aikd.augment.geometry import check_centre
from aikd.engine.pixels import HostPixels, Normalisation, View, pixels_of
from aikd.engine.precision import Precision
from aikd.engine.store import Packed, Prepared
from aikd.errors import UserError
from aikd.methods import Batch, Targets
from aikd.streams import Stream, generator
from aikd.study.augmentation import AUGMENTATIONS
from aikd.study.catalogue import Transform
from aikd.study.explain import located

EVALUATION_BATCH = 500
EVALUATION_PIXELS = 2_500_000
"""Pixels of the images evaluated at once: 500 of up to 70 × 70, but 49 of 224 × 224, as activations grow with them."""


def evaluation_batch(size: int) -> int:
    """How many images of size × size pixels are evaluated at once."""
    return max(1, min(EVALUATION_BATCH, EVALUATION_PIXELS // size**2))


class Images:
    """Images and labels of one split, with the transform that turns them into network inputs.

    Args:
        settings: the run's settings of the data set.
        images: uint8 [N, 3, H, W], or a `Packed`.
        labels: int64 [N].
        positions: which of the images to take, in stored order; none: all.
    """

    def __init__(
        self,
        prepared: Prepared,
        settings: dict[str, Any],
        images: NDArray[np.uint8] | Packed,
        labels: NDArray[np.int64],
        precision: Precision,
        positions: NDArray[np.int64] | None = None,
    ) -> None:
        self.name: str = prepared.manifest["name"]
        self.transform = Transform.model_validate(settings["transform"])
        self.device = precision.device
        if positions is None:
            positions = np.arange(len(labels))
        self.host_labels = np.array(labels[positions])
        self.labels = torch.from_numpy(self.host_labels).to(self.device)
        mean, std = self.transform.mean, self.transform.std
        moments = (mean or prepared.manifest["mean"], std or prepared.manifest["std"])
        if not all(moments[1]):
            raise UserError(
                f"data.{self.name}.transform: the training images of {self.name} are the same all over in a channel "
                f"(standard deviations {moments[1]}), which leaves nothing to normalise with; give `mean` and `std`"
            )
        normalisation = Normalisation(*moments, self.device, precision.memory_format)
        self.pixels = pixels_of(images, positions, self.transform, normalisation)

    def __len__(self) -> int:
        return len(self.labels)

    def check_evaluation(self) -> None:
        """Refuse images that are too small for the test transform.

        Raises:
            UserError: one is.
        """
        with located(f"data.{self.name}"):
            check_centre(self.pixels.sizes, self.transform.resize, self.transform.size)

    def evaluation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels in order, through the test transform.

        Raises:
            UserError: as `check_evaluation`.
        """
        batch = evaluation_batch(self.transform.size)
        yield from zip(self.pixels.centres(batch), self.labels.split(batch), strict=True)


class TrainingData(Images):
    """The training images; what an epoch shows is a function of (seed, epoch), the same for every method."""

    def check_crops(self) -> None:
        """Refuse padded crops of images whose sizes differ.

        Raises:
            UserError: they are asked for.
        """
        if self.transform.crop == "padded" and isinstance(self.pixels, HostPixels):
            raise UserError(
                f"data.{self.name}.transform.crop: found 'padded', but the training images of {self.name} differ "
                "in size; allowed for them is 'resized'"
            )

    def epoch(
        self, seed: int, epoch: int, batch_size: int, augmentation: dict[str, Any], partners: bool
    ) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0.

        Args:
            augmentation: `name` and its settings.
            partners: whether each batch carries another image of each image's class.

        Raises:
            UserError: as `check_crops`, or a padded crop does not fit into an image.
        """
        self.check_crops()
        n, sizes, own = len(self), self.pixels.sizes, AUGMENTATIONS.own.get(augmentation["name"])
        draws = draw_epoch(
            seed,
            epoch,
            n,
            batch_size,
            sizes,
            transform=self.transform,
            augmentation_name="standard" if own else augmentation["name"],
            augmentation_settings=augmentation,
        )
        if own:
            apply = own_mix(own, augmentation["settings"], generator(seed, Stream.MIX, epoch))
        views = [View(draws.order, draws.crops)]
        if partners:
            chosen = self.partners(generator(seed, Stream.PARTNER, epoch))[draws.order]
            rng = generator(seed, Stream.PARTNER_CROP, epoch)
            views.append(View(chosen, draw_crops(rng, n, sizes[chosen], self.transform)))

        batches = torch.from_numpy(draws.order).to(self.device).split(draws.batches)
        cuts = self.pixels.crops(views, draws.batches)
        for mix, index, cut in zip(mixes_to(draws.mixes, self.device), batches, cuts, strict=True):
            images, *others = cut
            images, partner, lam = apply(images) if own else (apply_mix(images, mix), mix.partner, mix.lam)
            mixed = index if partner is None else index[partner]
            targets = Targets(self.labels[index], self.labels[mixed], lam)
            yield Batch(images, targets, index, mixed, *others)

    def partners(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """For each image one of its class, drawn uniformly with replacement: positions [N]."""
        labels = self.host_labels
        by_class = np.argsort(labels, kind="stable")
        counts = np.bincount(labels)
        first = np.cumsum(counts) - counts
        place = (rng.random(len(labels)) * counts[labels]).astype(np.int64)
        chosen: NDArray[np.int64] = by_class[first[labels] + place]
        return chosen


def training_positions(
    labels: NDArray[np.int64], images_per_class: int | None, holdout_per_class: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the training images that are trained on, and of those held out, in stored order.

    Both are drawn class by class from a fixed stream that no seed changes, so every run of a study sees the same
    images; the held-out ones are drawn first, so that they do not depend on `images_per_class`.

    Raises:
        UserError: a class has too few images.
    """
    kept, held = [], []
    for label in range(int(labels.max()) + 1):
        positions = np.flatnonzero(labels == label)
        wanted = holdout_per_class + (images_per_class or 1)
        if len(positions) < wanted:
            raise UserError(
                f"images_per_class and holdout_per_class need {wanted} training images of every class; "
                f"class {label} has {len(positions)}"
            )
        shuffled = generator(label, Stream.SUBSET).permutation(positions)
        held.append(shuffled[:holdout_per_class])
        kept.append(shuffled[holdout_per_class:][:images_per_class])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))

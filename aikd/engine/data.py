"""Training and evaluation images on the device, and the batches made of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aikd.augment import (
    CropTensors,
    apply_mix,
    crops_to,
    draw_crops,
    draw_epoch,
    mixes_to,
    normalise,
    padded_crop,
    resize_and_centre_crop,
    resized_crop,
)
from aikd.engine.precision import Precision
from aikd.engine.store import Prepared
from aikd.errors import UserError
from aikd.methods import Batch, Targets
from aikd.streams import Stream, generator
from aikd.study.catalogue import Transform

EVALUATION_BATCH = 500


class Images:
    """Images and labels of one split on a device, with the transform that turns them into network inputs."""

    def __init__(
        self,
        prepared: Prepared,
        settings: dict[str, Any],
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        precision: Precision,
    ) -> None:
        self.transform = Transform.model_validate(settings["transform"])
        self.device, self.memory_format = precision.device, precision.memory_format
        self.images = torch.from_numpy(np.array(images)).to(self.device)
        self.host_labels = np.array(labels)
        self.labels = torch.from_numpy(self.host_labels).to(self.device)
        mean, std = self.transform.mean, self.transform.std
        moments = (mean or prepared.manifest["mean"], std or prepared.manifest["std"])
        self.mean, self.std = (torch.tensor(m, dtype=torch.float32, device=self.device) for m in moments)

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels 0..255 [B, 3, H, W] as network input."""
        # The layout changes while pixels are still single bytes, a quarter of the work.
        return normalise(images.contiguous(memory_format=self.memory_format), self.mean, self.std)

    def evaluation(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels in order, through the test transform."""
        for images, labels in zip(
            self.images.split(EVALUATION_BATCH), self.labels.split(EVALUATION_BATCH), strict=True
        ):
            yield (
                self.normalised(resize_and_centre_crop(images, self.transform.resize, self.transform.size)),
                labels,
            )

    def crop(self, index: Tensor, crops: CropTensors) -> Tensor:
        """Inputs [B, 3, size, size] of the images at `index`, cropped and flipped as drawn."""
        t = self.transform
        if t.crop == "padded":
            cut = padded_crop(
                self.images, index, crops.top, crops.left, size=t.size, padding=t.padding, flip=crops.flip
            )
        else:
            cut = resized_crop(self.images.index_select(0, index), *crops[:4], size=t.size, flip=crops.flip)
        return self.normalised(cut)


class TrainingData(Images):
    """The training images; what an epoch shows is a function of (seed, epoch), the same for every method."""

    def epoch(
        self, seed: int, epoch: int, batch_size: int, augmentation: dict[str, Any], partners: bool
    ) -> Iterator[Batch]:
        """The batches of one epoch, counted from 0.

        Args:
            augmentation: `name` and its settings.
            partners: whether each batch carries another image of each image's class.
        """
        n, (height, width) = len(self), self.images.shape[2:]
        draws = draw_epoch(
            seed,
            epoch,
            n,
            batch_size,
            (height, width),
            transform=self.transform,
            augmentation_name=augmentation["name"],
            augmentation_settings=augmentation,
        )
        mixes = mixes_to(draws.mixes, self.device)
        columns = [torch.from_numpy(draws.order).to(self.device), *crops_to(draws.crops, self.device)]
        if partners:
            chosen = self.partners(generator(seed, Stream.PARTNER, epoch))[draws.order]
            rng = generator(seed, Stream.PARTNER_CROP, epoch)
            partner_crops = draw_crops(rng, n, (height, width), self.transform)
            columns += [torch.from_numpy(chosen).to(self.device), *crops_to(partner_crops, self.device)]

        for mix, *parts in zip(mixes, *(column.split(draws.batches) for column in columns), strict=True):
            index, crops = parts[0], CropTensors(*parts[1:6])
            images = apply_mix(self.crop(index, crops), mix)
            mixed = index if mix.partner is None else index[mix.partner]
            targets = Targets(self.labels[index], self.labels[mixed], mix.lam)
            partner_images = self.crop(parts[6], CropTensors(*parts[7:])) if partners else None
            yield Batch(images, targets, index, mixed, partner_images)

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
                f"holdout_per_class and images_per_class need {wanted} training images of every class; "
                f"class {label} has {len(positions)}"
            )
        shuffled = generator(label, Stream.SUBSET).permutation(positions)
        held.append(shuffled[:holdout_per_class])
        kept.append(shuffled[holdout_per_class:][:images_per_class])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))

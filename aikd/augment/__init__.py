"""Augmentation: an epoch's random numbers are drawn first, then whole batches are transformed at once."""

from aikd.augment.draws import (
    Crops,
    EpochDraws,
    Mix,
    batch_sizes,
    draw_crops,
    draw_epoch,
    draw_mix,
)
from aikd.augment.geometry import (
    CropTensors,
    crops_to,
    cut_and_resize,
    mirrored,
    normalise,
    normalise_image,
    padded_crop,
    resize_and_centre_crop,
    resize_and_cut_centre,
    resized_crop,
)
from aikd.augment.mixing import MixTensors, apply_mix, mixes_to
from aikd.augment.own import own_mix

__all__ = [
    "CropTensors",
    "Crops",
    "EpochDraws",
    "Mix",
    "MixTensors",
    "apply_mix",
    "batch_sizes",
    "crops_to",
    "cut_and_resize",
    "draw_crops",
    "draw_epoch",
    "draw_mix",
    "mirrored",
    "mixes_to",
    "normalise",
    "normalise_image",
    "own_mix",
    "padded_crop",
    "resize_and_centre_crop",
    "resize_and_cut_centre",
    "resized_crop",
]

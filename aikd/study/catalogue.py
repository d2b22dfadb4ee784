"""The data sets the project knows, as published: Table 1's facts and the transforms of section 4.1."""

from typing import Any, Literal, Self

from pydantic import model_validator

from aikd.study.fields import Count, Flag, Fraction, Section, Whole
from aikd.study.registry import Registry

Category = Literal["coarse", "fine-grained"]
Triple = tuple[Fraction, Fraction, Fraction]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


class Transform(Section):
    """How stored images become network inputs."""

    size: Count
    """Side of the square network input, in pixels."""
    crop: Literal["padded", "resized"] = "padded"
    """Training crop: at a random offset after zero padding, or random area and aspect resized to `size`."""
    padding: Whole = 4
    """Zero padding of the padded crop, in pixels on each side."""
    flip: Flag = True
    """Random horizontal flip in training."""
    resize: Count | None = None
    """Evaluation: resize the short side to this many pixels before the centre crop; none: do not resize."""
    mean: Triple | None = None
    """Channel means (fraction) to normalise with; none: those of the training images."""
    std: Triple | None = None
    """Channel standard deviations (fraction); none: those of the training images."""

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together or not at all")
        if self.std and not all(self.std):
            raise ValueError(
                f"std {list(self.std)}: allowed are numbers above 0, as images are divided by them"
            )
        if self.resize is not None and self.resize < self.size:
            raise ValueError(
                f"resize {self.resize} is less than size {self.size}: a centre crop of {self.size} pixels would not "
                "fit into a test image"
            )
        return self

    def changed(self, keys: dict[str, Any]) -> Self:
        """This transform with other values of some keys; `resize` keeps its proportion to `size` unless it is one."""
        if self.resize and isinstance(size := keys.get("size"), int) and "resize" not in keys:
            keys = keys | {"resize": round(size * self.resize / self.size)}
        return self.model_validate(self.model_dump() | keys)


class DataSet(Section):
    """One published data set."""

    label: str
    """Name in tables and figures."""
    category: Category
    """Coarse sets tell species apart, fine-grained ones their kinds (Table 1)."""
    classes: Count
    train: Count
    """Training images."""
    test: Count
    """Evaluation images; the paper calls them valid."""
    smallest: Count | None = None
    """Training images of the class that has fewest; none: not known before they are there."""
    transform: Transform
    stored_side: Count | None = None
    """Short side, in pixels, to which larger training images are reduced when they are stored; none: never."""


PHOTOGRAPHS = Transform(size=224, crop="resized", resize=256, mean=IMAGENET_MEAN, std=IMAGENET_STD)
"""Of the fine-grained sets, and of a user's own images unless the study says otherwise."""

STORED_SIDE = 384
"""Training images of such sets keep their size up to this short side: nearly all of CUB and Dogs stays untouched."""


def _fine_grained(label: str, classes: int, train: int, test: int, smallest: int) -> DataSet:
    return DataSet(
        label=label, category="fine-grained", classes=classes, train=train, test=test, smallest=smallest,
        transform=PHOTOGRAPHS, stored_side=STORED_SIDE,
    )  # fmt: skip


_KNOWN = {
    "cifar100": DataSet(
        label="CIFAR-100",
        category="coarse",
        classes=100,
        train=50_000,
        test=10_000,
        smallest=500,
        transform=Transform(size=32),
    ),
    "tiny_imagenet": DataSet(
        label="Tiny-ImageNet",
        category="coarse",
        classes=200,
        train=100_000,
        test=10_000,
        smallest=500,
        transform=Transform(size=32, crop="resized", resize=32),
    ),
    "cub200": _fine_grained("CUB-200-2011", 200, 5_994, 5_794, smallest=29),
    "stanford_dogs": _fine_grained("Stanford Dogs", 120, 12_000, 8_580, smallest=100),
    "mit67": _fine_grained("MIT-67", 67, 5_360, 1_340, smallest=77),
    "fgvc_aircraft": _fine_grained("FGVC Aircraft", 100, 6_667, 3_333, smallest=66),
    # Real handwritten digits that ship inside scikit-learn. Mirrored digits are no digits, so no flip.
    "digits": DataSet(
        label="Digits",
        category="coarse",
        classes=10,
        train=901,
        test=896,
        smallest=87,
        transform=Transform(size=8, padding=1, flip=False),
    ),
}

DATA_SETS: Registry[DataSet] = Registry("data set", _KNOWN)

PAPER = ("cifar100", "tiny_imagenet", "cub200", "stanford_dogs", "mit67", "fgvc_aircraft")
"""Those of the paper, in the order of its Table 1."""

FAMILIES = {
    "preact_resnet18": "ResNet-18",
    "resnet18": "ResNet-18",
    "densenet121_3x3": "DenseNet-121",
    "densenet121": "DenseNet-121",
}
"""What the paper calls each architecture."""

"""The augmentations of Table 7, on top of a data set's own crop and flip (section 4.5)."""

from typing import Any

from pydantic import ConfigDict

from aikd.study.fields import Count, Fraction, Positive, Section
from aikd.study.registry import Registry


class StandardSettings(Section):
    """Crop and flip alone."""


class CutoutSettings(Section):
    """One square of every image is blanked (DeVries & Taylor, 2017)."""

    side: Count | None = None
    """Side of the square in pixels; none: a quarter of the input's side."""


class MixupSettings(Section):
    """Pairs of images are averaged (Zhang et al., ICLR 2018)."""

    alpha: Positive = 1.0
    """The mixing rate is drawn from Beta(alpha, alpha), once a batch."""


class CutMixSettings(Section):
    """A box of every image is replaced by another image's (Yun et al., ICCV 2019)."""

    beta: Positive = 1.0
    """The kept share is drawn from Beta(beta, beta), once a batch."""
    probability: Fraction = 0.5
    """Share of the batches that are mixed."""


class Augmentations(Section):
    """Settings of each augmentation, the same for every run of the study that uses it."""

    # Those of extensions, too: which there are is checked with the study's other names.
    model_config = ConfigDict(extra="allow")

    standard: StandardSettings = StandardSettings()
    """Nothing more."""
    cutout: CutoutSettings = CutoutSettings()
    """One blank square in every image."""
    mixup: MixupSettings = MixupSettings()
    """Images averaged in pairs."""
    cutmix: CutMixSettings = CutMixSettings()
    """A box of each image from another."""

    @property
    def of_extensions(self) -> dict[str, Any]:
        """What the study says of any other augmentation."""
        return self.model_extra or {}

    def of(self, name: str) -> Section:
        """The settings of an augmentation.

        Raises:
            pydantic.ValidationError: those of an extension's augmentation are not allowed.
        """
        if name in AUGMENTATIONS.own:
            return AUGMENTATIONS[name].model_validate(self.of_extensions.get(name, {}))
        found: Section = getattr(self, name)
        return found


AUGMENTATIONS: Registry[type[Section]] = Registry(
    "augmentation",
    {
        "standard": StandardSettings,
        "cutout": CutoutSettings,
        "mixup": MixupSettings,
        "cutmix": CutMixSettings,
    },
)
"""Name → settings."""

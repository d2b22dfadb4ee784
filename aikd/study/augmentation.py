"""The augmentations of Table 7, on top of a data set's own crop and flip (section 4.5)."""

from aikd.study.fields import Count, Fraction, Positive, Section


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

    standard: StandardSettings = StandardSettings()
    """Nothing more."""
    cutout: CutoutSettings = CutoutSettings()
    """One blank square in every image."""
    mixup: MixupSettings = MixupSettings()
    """Images averaged in pairs."""
    cutmix: CutMixSettings = CutMixSettings()
    """A box of each image from another."""


AUGMENTATIONS: tuple[str, ...] = tuple(Augmentations.model_fields)

"""What the prepared data sets take on the disk."""

from aikd.study.catalogue import DATA_SETS, DataSet

SIDES = {"cifar100": 32, "tiny_imagenet": 64, "digits": 8}
"""Published sides of images that are stored as they are."""
ASPECTS = {"fgvc_aircraft": 3 / 2}
"""Usual long side over short side of photographs, where it is not 4/3."""


def prepared_bytes(name: str, dataset: DataSet) -> int:
    """Bytes of a data set in the store: three for each pixel.

    For photographs about, and at most where all were large: each as large as the store keeps it, in the usual aspect.
    """
    transform = dataset.transform
    if dataset.stored_side is None or transform.crop != "resized" or transform.resize is None:
        side = SIDES.get(name) or (DATA_SETS[name].transform.size if name in DATA_SETS else transform.size)
        return 3 * side**2 * (dataset.train + dataset.test)
    pixels = dataset.train * dataset.stored_side**2 + dataset.test * transform.resize**2
    return round(3 * pixels * ASPECTS.get(name, 4 / 3))

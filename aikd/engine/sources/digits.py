"""scikit-learn's digits: 1,797 real handwritten digits of 8 × 8 pixels, shipped inside the library."""

from pathlib import Path
from typing import Any

import numpy as np

from aikd.engine.store import write_prepared


def prepare(folder: Path) -> dict[str, Any]:
    """Write the digits as grey RGB images, split half and half: in each class every second image is for testing."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.int64)
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(grey[:, None], 3, axis=1)
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[1::2]] = True
    return write_prepared(
        folder,
        "digits",
        [str(name) for name in digits.target_names],
        {"train": (images[~test], labels[~test]), "test": (images[test], labels[test])},
        {"library": "scikit-learn", "origin": "UCI, Optical Recognition of Handwritten Digits, test set"},
    )

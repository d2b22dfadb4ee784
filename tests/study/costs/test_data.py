"""Sizes of prepared data against those that were measured, or computed otherwise."""

import pytest

from aikd.study.costs.data import prepared_bytes
from aikd.study.schema import Study


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("cifar100", 60_000 * 3_072 / 1e9),
        ("tiny_imagenet", 110_000 * 64 * 64 * 3 / 1e9),
        ("stanford_dogs", 9.3),
        ("mit67", 3.5),
        ("fgvc_aircraft", 5.4),
    ],
)
def test_sizes_are_those_of_the_documentation(paper: Study, name: str, gigabytes: float) -> None:
    assert prepared_bytes(name, paper.dataset(name)) / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_photographs_take_no_more_than_planned(paper: Study) -> None:
    # Measured on 300 of CUB's: 479 kB a training image, and 264 kB where the short side is 256, as of test images.
    measured = 5_994 * 479_000 + 5_794 * 264_000
    assert measured < prepared_bytes("cub200", paper.dataset("cub200")) < 1.2 * measured


def test_a_reduced_store_is_smaller(paper: Study) -> None:
    whole = paper.dataset("cub200")
    reduced = whole.model_copy(update={"stored_side": 192})
    tests = 5_794 * 256**2 * 4
    assert prepared_bytes("cub200", reduced) - tests == (prepared_bytes("cub200", whole) - tests) / 4

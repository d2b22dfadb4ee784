"""What a published list says: which image belongs to which class and split."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from aikd.errors import UserError


class Container(Protocol):
    """An archive or a folder, as the readers of lists see it."""

    def names(self) -> list[str]:
        """Full names of all regular files."""

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Small files, by name."""

    def files(self, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """The wanted files with their names, in the container's own order."""


@dataclass(frozen=True)
class Entry:
    """One image."""

    path: str
    """Its full name inside its archive or folder, with forward slashes."""
    label: int
    """Index of its class."""


@dataclass(frozen=True)
class Listing:
    """All images of a data set, in the order of its published lists."""

    class_names: list[str]
    train: list[Entry]
    test: list[Entry]


def check_counts(listing: Listing, name: str, classes: int, train: int, test: int) -> None:
    """Refuse a listing that has not exactly the expected numbers of classes and images.

    Raises:
        UserError: it has not, or a class lacks training or test images.
    """
    found = [[entry.label for entry in split] for split in (listing.train, listing.test)]
    check_labels(name, listing.class_names, found[0], found[1], expected=(classes, train, test))


def check_labels(
    name: str,
    class_names: list[str],
    train: Sequence[int],
    test: Sequence[int],
    expected: tuple[int, int, int],
) -> None:
    """As `check_counts`, for the labels of images that are known already.

    Args:
        expected: classes, training images, test images.

    Raises:
        UserError: they differ, or a class lacks training or test images.
    """
    found = (len(class_names), len(train), len(test))
    if found != expected:
        raise UserError(f"data set {name}: expected {_counts(*expected)}; found {_counts(*found)}")
    for kind, labels in (("training", train), ("test", test)):
        bare = sorted(set(range(len(class_names))) - set(labels))
        if bare:
            shown = ", ".join(class_names[label] for label in bare[:5]) + ", …" * (len(bare) > 5)
            raise UserError(f"data set {name}: no {kind} image of {len(bare)} classes: {shown}")


def _counts(classes: int, train: int, test: int) -> str:
    return f"{classes:,} classes, {train:,} training and {test:,} test images"

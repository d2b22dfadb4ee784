"""A user's own folder of images as a listing, and the split where the folder has none."""

from collections.abc import Collection, Iterator
from pathlib import Path

from aikd.engine.sources.containers import FILE as LARGEST
from aikd.engine.sources.listing import Entry, Listing
from aikd.errors import UserError
from aikd.streams import Stream, generator
from aikd.study.folders import held_out, read_tree


def list_folder(folder: Path, test_fraction: float, split_seed: int) -> Listing:
    """The images of a folder, class by class.

    Args:
        test_fraction: of a folder without a split of its own, the share of each class's images that are for testing.
        split_seed: of such a folder, which images those are.

    Raises:
        UserError: the folder holds no usable data set (see `read_tree`).
    """
    tree = read_tree(folder)
    train, test = [], []
    for label, (name, images) in enumerate(tree.train.items()):
        if tree.test is None:
            drawn = generator(split_seed, Stream.SPLIT, label).permutation(len(images))
            chosen = set(drawn[: held_out(len(images), test_fraction)].tolist())
            held = [images[index] for index in sorted(chosen)]
            kept = [path for index, path in enumerate(images) if index not in chosen]
        else:
            kept, held = images, tree.test[name]
        train += [Entry(path, label) for path in kept]
        test += [Entry(path, label) for path in held]
    return Listing(list(tree.train), train, test)


def folder_files(folder: Path, paths: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Path and content of images of a folder, sorted by path; links are followed, as when they were listed.

    Raises:
        UserError: an image cannot be read, or is larger than 256 MB.
    """
    for path in sorted(paths):
        try:
            with (folder / path).open("rb") as file:
                data = file.read(LARGEST + 1)
        except OSError as error:
            raise UserError(f"{folder / path}: cannot be read ({error.strerror})") from None
        if len(data) > LARGEST:
            raise UserError(f"{folder / path}: larger than {LARGEST:,} bytes")
        yield path, data

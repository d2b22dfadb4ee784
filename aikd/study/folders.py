"""A user's own images: folders named like their classes, with a split of their own or to be split.

Looked at whenever a study is checked, so it reads names and sizes alone, never an image.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aikd.errors import UserError
from aikd.files import read_json

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Of image files, in any case: those of torchvision's ImageFolder, and .gif."""

SECOND = ("test", "val", "valid")
"""Names of the folder beside `train/`, the preferred first."""

KEPT = Path("data/.folders")
"""Where a project keeps what folders held that lie on another machine: it came with results from there."""

Classes = dict[str, list[str]]
"""Images of each class, sorted: paths relative to the folder, with forward slashes. Classes are sorted by name."""


@dataclass(frozen=True)
class Tree:
    """The images of a folder."""

    train: Classes
    """All images where the folder has no split of its own."""
    test: Classes | None
    """None: to be split off."""
    passed_over: list[str]
    """Files that are no images by their names, and folders that are not looked into; hidden ones do not count."""
    split: str | None = None
    """Name of the folder of the test images; none: to be split off."""


@dataclass(frozen=True)
class Scan:
    """What a folder holds, in numbers."""

    classes: dict[str, int]
    """Training images of each class."""
    test: int
    """Test images."""
    passed_over: list[str] = field(default_factory=list)
    """As in `Tree`."""
    split: str | None = None
    """As in `Tree`."""
    fingerprint: str = field(default="", compare=False)
    """As `fingerprint` has it."""

    @property
    def train(self) -> int:
        """Training images."""
        return sum(self.classes.values())

    @property
    def remark(self) -> str | None:
        """What a user should know of it: which files will not be used."""
        if not self.passed_over:
            return None
        shown = ", ".join(self.passed_over[:3]) + ", …" * (len(self.passed_over) > 3)
        why = f"in no class folder, or not named like an image ({', '.join(EXTENSIONS)})"
        return f"passed over {len(self.passed_over):,}: {shown}; {why}"


def scan(folder: Path, test_fraction: float) -> Scan:
    """Classes and image counts of a folder, after the split if it has none of its own.

    Raises:
        UserError: as `read_tree`.
    """
    tree = read_tree(folder)
    classes = {name: len(images) for name, images in tree.train.items()}
    if tree.test is None:
        held = {name: held_out(count, test_fraction) for name, count in classes.items()}
        classes = {name: count - held[name] for name, count in classes.items()}
        test = sum(held.values())
    else:
        test = sum(map(len, tree.test.values()))
    return Scan(classes, test, tree.passed_over, tree.split, _fingerprint(folder, tree))


def scan_or_kept(folder: Path, test_fraction: float) -> Scan:
    """`scan`; of a folder that is not there, what was kept of it.

    Raises:
        UserError: as `scan`, or what was kept is damaged.
    """
    path = kept_file(str(folder), test_fraction)
    if folder.exists() or not path.exists():
        return scan(folder, test_fraction)
    found = read_json(path, "unpack the results again")
    from pydantic import (
        TypeAdapter,
        ValidationError,
    )  # where nothing was kept, looking at a folder does without

    try:
        return TypeAdapter(Scan).validate_python(found)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{path}: not what a folder held ({place}: {problem['msg']}); unpack the results again"
        ) from None


def kept_file(folder: str, test_fraction: float) -> Path:
    """Where it is kept what a folder held, which the study names like that."""
    return KEPT / f"{hashlib.sha256(f'{folder} {test_fraction}'.encode()).hexdigest()[:12]}.json"


def held_out(images: int, fraction: float) -> int:
    """How many of a class's images are for testing: the fraction, rounded, but at least one and never all."""
    return min(max(round(fraction * images), 1), images - 1)


def fingerprint(folder: Path) -> str:
    """SHA-256 of the paths and sizes of all images.

    It changes when images are added, removed, renamed, or replaced by others of another size.

    Raises:
        UserError: as `read_tree`.
    """
    return _fingerprint(folder, read_tree(folder))


def _fingerprint(folder: Path, tree: Tree) -> str:
    digest = hashlib.sha256()
    with _reading(folder):
        for classes in (tree.train, tree.test or {}):
            for path in (path for images in classes.values() for path in images):
                digest.update(f"{path}\0{(folder / path).stat().st_size}\0".encode())
    return digest.hexdigest()


def read_tree(folder: Path) -> Tree:
    """The images of `train/<class>/…` and `test/<class>/…` (or val/, valid/), or else those of `<class>/…`.

    They may lie at any depth below their class. Links are followed.

    Raises:
        UserError: the folder cannot be read or has fewer than two classes; a class has no image (where a split is to be
            drawn, fewer than two), or is missing on one side of the split.
    """
    with _reading(folder):
        reader = _Reader(folder)
        names = reader.folders("")
        top = {name.lower(): name for name in names}
        halves = [top[name] for name in ("train", *SECOND) if name in top]
        if "train" in top and len(halves) > 1:
            reader.passed_over += [name for name in names if name not in halves[:2]]
            train, test = (reader.classes(f"{half}/", reader.folders(half), 1) for half in halves[:2])
            _same_classes(folder, {halves[0]: train, halves[1]: test})
            return Tree(train, test, reader.passed_over, halves[1])
        train = reader.classes("", names, 2)
    for half in halves:
        # A split without its other half would pass for a class called train.
        if all(path.count("/") > 1 for path in train[half]):
            need = f"a split is train/ and one of {'/, '.join(SECOND)}/"
            raise UserError(f"{folder}: found {half}/ with folders in it; {need}")
    _several(folder, train)
    return Tree(train, None, reader.passed_over)


def _same_classes(folder: Path, halves: dict[str, Classes]) -> None:
    (first, train), (second, test) = halves.items()
    _several(folder / first, train)
    for half, lone in ((first, train.keys() - test.keys()), (second, test.keys() - train.keys())):
        if lone:
            shown = ", ".join(sorted(lone)[:5]) + ", …" * (len(lone) > 5)
            raise UserError(f"{folder}: {len(lone)} classes are in {half}/ only: {shown}")


def _several(folder: Path, classes: Classes) -> None:
    if len(classes) < 2:
        found = f"found {len(classes)} class folders ({', '.join(classes) or 'none'})"
        raise UserError(f"{folder}: {found}; at least two are needed, one for each class")


class _Reader:
    """Looks through a folder, and remembers what it passes over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passed_over: list[str] = []

    def folders(self, inside: str) -> list[str]:
        """Names of the folders directly in one."""
        names = []
        for entry in self.entries(inside):
            if entry.is_dir():
                names.append(entry.name)
            else:
                self.passed_over.append(f"{inside}/{entry.name}".lstrip("/"))
        return names

    def classes(self, prefix: str, names: list[str], at_least: int) -> Classes:
        """The images below each of these folders, of which each needs some."""
        classes = {}
        for name in names:
            # Encoding fails on names that no JSON could hold.
            images = sorted(self.images(prefix + name, frozenset()), key=str.encode)
            if len(images) < at_least:
                found = f"found {len(images)} images in this class folder, of {at_least} or more needed"
                raise UserError(
                    f"{self.folder / prefix / name}: {found}; images end in {', '.join(EXTENSIONS)}"
                )
            classes[name] = images
        return classes

    def images(self, inside: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
        """Images at any depth; `above` are the folders on the way to this one."""
        status = (self.folder / inside).stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise UserError(f"{self.folder / inside}: a link to a folder that contains it")
        for entry in self.entries(inside):
            path = f"{inside}/{entry.name}"
            if entry.is_dir():
                yield from self.images(path, above | {here})
            elif entry.name.lower().endswith(EXTENSIONS) and (entry.is_file() or entry.is_symlink()):
                if not entry.is_file():
                    raise UserError(f"{self.folder / path}: a link to nothing")
                yield path
            else:
                self.passed_over.append(path)

    def entries(self, inside: str) -> list[os.DirEntry[str]]:
        """What a folder holds, by name, without what is hidden: thumbnails and such, which nobody put there."""
        with os.scandir(self.folder / inside) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".")]
        return sorted(seen, key=lambda entry: entry.name)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read ({error.strerror})") from None
    except UnicodeEncodeError as error:
        raise UserError(f"{folder}: found the name {error.object!a}, which is not UTF-8; rename it") from None

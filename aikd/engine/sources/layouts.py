"""The layouts of five published data sets: where each keeps its images, and what its lists say of them.

A list is checked line by line. Whether the listed images are there is seen when they are read.
"""

import io
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aikd.engine.sources.listing import Container, Entry, Listing
from aikd.errors import UserError
from aikd.study.explain import show

Extras = Mapping[str, Container | bytes]
"""Other files of a data set by their published names: archives opened, plain texts as bytes."""


@dataclass(frozen=True)
class Layout:
    """How a data set is published."""

    images: str
    """The archive with the images."""
    read: Callable[[Container, Extras], Listing]
    """From that archive and the extras to the listing; UserError where a list is damaged or contradicts another."""
    extras: tuple[str, ...] = ()
    """Other published files that `read` needs."""
    cut_bottom: int = 0
    """Rows of pixels at the bottom of every image that do not belong to the picture."""


class _Row(NamedTuple):
    """An image as a list has it."""

    where: str
    """The list and the line, for complaints."""
    path: str
    group: str
    """Its class, as the list names it."""


def _listing(classes: Mapping[str, str], train: Iterable[_Row], test: Iterable[_Row]) -> Listing:
    """Checked entries; `classes` gives the name of each group, in the order of the labels."""
    labels = {group: label for label, group in enumerate(classes)}
    seen: dict[str, str] = {}

    def entry(row: _Row) -> Entry:
        if row.group not in labels:
            raise UserError(
                f"{row.where}: found class {show(row.group)}, which is none of the {len(labels)} classes"
            )
        if row.path in seen:
            raise UserError(f"{row.where}: found {show(row.path)}, listed already at {seen[row.path]}")
        seen[row.path] = row.where
        return Entry(row.path, labels[row.group])

    return Listing(list(classes.values()), [entry(row) for row in train], [entry(row) for row in test])


# Text lists


def _lines(name: str, data: bytes, errors: str = "strict") -> list[tuple[str, str]]:
    """The lines of a list, each with its place for complaints."""
    try:
        text = data.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise UserError(f"{name}, line {line}: found byte 0x{byte:02x}, which is not UTF-8 text") from None
    if not text.strip():
        raise UserError(f"{name}: empty, but it should list images or classes")
    lines = text.removesuffix("\n").split("\n")
    return [(f"{name}, line {number}", line.removesuffix("\r")) for number, line in enumerate(lines, 1)]


def _fields(where: str, line: str, separator: str, form: str) -> list[str]:
    """The parts of a line that should look like `form`; the last part may contain the separator."""
    count = form.count(separator)
    parts = line.split(separator, count)
    if len(parts) <= count or not all(part.strip() for part in parts):
        raise UserError(f"{where}: found {show(line)}, but it should be {show(form)}")
    return parts


def _names(name: str, data: bytes) -> list[str]:
    """A list of classes, one a line."""
    names: dict[str, None] = {}
    for where, line in _lines(name, data):
        if line in names or not line.strip():
            raise UserError(f"{where}: found {show(line)}, but it should be a class not listed yet")
        names[line] = None
    return list(names)


def _table(name: str, data: bytes, form: str, separator: str = " ") -> dict[str, tuple[str, str]]:
    """A list of two columns, as a mapping from the first to the place and the second."""
    table: dict[str, tuple[str, str]] = {}
    for where, line in _lines(name, data):
        key, value = _fields(where, line, separator, form)
        if key in table:
            raise UserError(f"{where}: found {show(key)} again, after {table[key][0]}")
        table[key] = where, value
    return table


# CUB-200-2011

CUB_ARCHIVE = "CUB_200_2011.tgz"


def read_cub(images: Container, _extras: Extras) -> Listing:
    """CUB-200-2011: lists that an image's number links. Its bounding boxes are no part of classification."""
    forms = {
        "images": "NUMBER PATH", "image_class_labels": "NUMBER CLASS",
        "train_test_split": "NUMBER 0-OR-1", "classes": "CLASS NAME",
    }  # fmt: skip
    members = {kind: f"CUB_200_2011/{kind}.txt" for kind in forms}
    texts = images.read(list(members.values()))
    paths, groups, splits, classes = (
        _table(f"{CUB_ARCHIVE}: {members[kind]}", texts[members[kind]], form) for kind, form in forms.items()
    )
    for kind, table in (("image_class_labels", groups), ("train_test_split", splits)):
        _same_numbers(paths, table, members["images"], members[kind])
    rows: dict[str, list[_Row]] = {"1": [], "0": []}
    for number, (where, path) in paths.items():
        (group_where, group), (split_where, split) = groups[number], splits[number]
        if group not in classes:
            raise UserError(f"{group_where}: found class {show(group)}, which {members['classes']} lacks")
        if split not in rows:
            raise UserError(f"{split_where}: found {show(split)}; allowed: 1 (training), 0 (test)")
        rows[split].append(_Row(where, f"CUB_200_2011/images/{path}", group))
    return _listing({group: name for group, (_, name) in classes.items()}, rows["1"], rows["0"])


def _same_numbers(
    first: dict[str, tuple[str, str]], second: dict[str, tuple[str, str]], first_name: str, second_name: str
) -> None:
    for here, there, name in ((first, second, second_name), (second, first, first_name)):
        for number, (where, _) in here.items():
            if number not in there:
                raise UserError(f"{where}: found image {show(number)}, of which {name} has no line")


# Tiny-ImageNet

TINY_ARCHIVE = "tiny-imagenet-200.zip"
_TINY = "tiny-imagenet-200/"


def read_tiny_imagenet(images: Container, _extras: Extras) -> Listing:
    """Tiny-ImageNet: training images by folder, `val` by list; `test` has no labels and is not used.

    Classes and training images are sorted by name, which is torchvision's order, too, whatever the zip's.
    """
    wnids, words, annotations = members = [
        f"{_TINY}{name}.txt" for name in ("wnids", "words", "val/val_annotations")
    ]
    texts = {name: (f"{TINY_ARCHIVE}: {name}", data) for name, data in images.read(members).items()}
    names = sorted(images.names())
    pattern = re.compile(rf"{_TINY}train/([^/]+)/images/[^/]+\.JPEG")
    train = [_Row(f"{TINY_ARCHIVE}: {m[0]}", m[0], m[1]) for m in map(pattern.fullmatch, names) if m]
    test = []
    for where, line in _lines(*texts[annotations]):
        file, wnid, *_ = _fields(where, line, "\t", "FILE\tCLASS\tX0\tY0\tX1\tY1")
        test.append(_Row(where, f"{_TINY}val/images/{file}", wnid))
    listed = {row.path for row in test}
    for name in names:
        if name.startswith(f"{_TINY}val/images/") and name not in listed:
            raise UserError(f"{TINY_ARCHIVE}: found {show(name)}, of which {annotations} has no line")
    return _listing(_first_words(sorted(_names(*texts[wnids])), *texts[words]), train, test)


def _first_words(wnids: list[str], name: str, data: bytes) -> dict[str, str]:
    """The first of the synonyms of each class; where two classes share it, with their WordNet numbers."""
    words = _table(name, data, "CLASS\tWORDS", "\t")
    lacking = [wnid for wnid in wnids if wnid not in words]
    if lacking:
        raise UserError(f"{name}: no line for class {show(lacking[0])}, found in {_TINY}wnids.txt")
    first = {wnid: words[wnid][1].split(",")[0].strip() for wnid in wnids}
    uses = Counter(first.values())
    return {wnid: word if uses[word] == 1 else f"{word} ({wnid})" for wnid, word in first.items()}


# Stanford Dogs

DOGS_LISTS = "lists.tar"
MAT = 16 * 2**20
"""Bytes that the variables of a list may have: twelve thousand paths, twice, need a few million."""
_MAT_HEADER = 128
_COMPRESSED = 15


def read_dogs(_images: Container, extras: Extras) -> Listing:
    """Stanford Dogs: MATLAB lists of paths and labels. A class is called like its folder."""
    lists = extras[DOGS_LISTS]
    assert not isinstance(lists, bytes)
    members = ["train_list.mat", "test_list.mat"]
    texts = lists.read(members)
    train, test = (_mat_rows(f"{DOGS_LISTS}: {name}", texts[name]) for name in members)
    folders: dict[int, _Row] = {}
    for label, row in (*train, *test):
        first = folders.setdefault(label, row)
        if first.group != row.group:
            both = f"{show(row.path)}, but {first.where} has it for {show(first.path)}"
            raise UserError(f"{row.where}: found label {label} for {both}")
    names = [folders[label].group for label in sorted(folders)]
    if sorted(folders) != list(range(1, len(folders) + 1)) or len(set(names)) != len(names):
        raise UserError(
            f"{DOGS_LISTS}: labels should number the folders 1, 2, 3, … without gap or repetition"
        )
    return _listing(dict(zip(names, names, strict=True)), (row for _, row in train), (row for _, row in test))


def _mat_rows(name: str, data: bytes) -> list[tuple[int, _Row]]:
    """Label (from 1) and row of each entry of a list in MATLAB's format."""
    from scipy.io import loadmat

    try:
        _check_inflated(data)
        content = loadmat(io.BytesIO(data), variable_names=["file_list", "labels"])
        files = [str(cell.item()) for cell in content["file_list"].ravel()]
        numbers = [float(number) for number in content["labels"].ravel()]
    except Exception as error:  # a damaged file makes this reader fail in many ways
        problem = f"no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{name}: not a MATLAB list with file_list and labels ({problem})") from None
    if not files or len(files) != len(numbers):
        raise UserError(f"{name}: found {len(files)} files and {len(numbers)} labels; each file needs one")
    rows = []
    for index, (file, number) in enumerate(zip(files, numbers, strict=True), 1):
        where = f"{name}, entry {index}"
        folder, _ = _fields(where, file, "/", "FOLDER/FILE")
        if not number.is_integer():
            raise UserError(f"{where}: found label {number}, but it should be a whole number")
        rows.append((int(number), _Row(where, f"Images/{file}", folder)))
    return rows


def _check_inflated(data: bytes) -> None:
    """Refuse a MATLAB file that would fill the memory: its reader inflates whatever stands in it, without a limit.

    Raises:
        ValueError: it would, or it is of the format before version 5.
    """
    if len(data) < _MAT_HEADER or 0 in data[:4]:
        raise ValueError("no file of MATLAB 5")
    order = "<" if data[126:128] == b"IM" else ">"
    place, inflated = _MAT_HEADER, 0
    while place + 8 <= len(data) and inflated <= MAT:
        kind, size = struct.unpack(f"{order}II", data[place : place + 8])
        content = data[place + 8 : place + 8 + size]
        compressed = kind == _COMPRESSED
        inflated += len(zlib.decompressobj().decompress(content, MAT + 1)) if compressed else len(content)
        place += 8 + size
    if inflated > MAT:
        raise ValueError(f"more than {MAT >> 20} MiB")


# MIT-67

MIT_ARCHIVE = "indoorCVPR_09.tar"
MIT_LISTS = ("TrainImages.txt", "TestImages.txt")


def read_mit67(images: Container, extras: Extras) -> Listing:
    """MIT-67: two lists of `class/file`; an archive made by hand may have its folder `Images` inside another."""
    folder = _images_folder(images.names())
    train, test = (_mit_rows(name, extras[name], folder) for name in MIT_LISTS)
    classes = sorted({row.group for row in train})
    return _listing(dict(zip(classes, classes, strict=True)), train, test)


def _mit_rows(name: str, data: Container | bytes, folder: str) -> list[_Row]:
    assert isinstance(data, bytes)
    # File names in a tar are bytes. What is not UTF-8 is kept as tarfile keeps it, so that both still agree.
    rows = []
    for where, line in _lines(name, data, errors="surrogateescape"):
        group, _ = _fields(where, line, "/", "CLASS/FILE")
        rows.append(_Row(where, folder + line, group))
    return rows


def _images_folder(names: Iterable[str]) -> str:
    """The folder `Images/`, wherever it stands; if several are called so, the one with the most files."""
    found = Counter(m[0] for m in map(re.compile(r"(.*?/)?Images/").match, names) if m)
    if not found:
        raise UserError(f"{MIT_ARCHIVE}: no folder Images in it")
    return max(sorted(found), key=found.__getitem__)


# FGVC-Aircraft

AIRCRAFT_ARCHIVE = "fgvc-aircraft-2013b.tar.gz"
_AIRCRAFT = "fgvc-aircraft-2013b/data/"


def read_aircraft(images: Container, _extras: Extras) -> Listing:
    """FGVC-Aircraft by variant: training and validation images against test images."""
    variants, *lists = (
        _AIRCRAFT + name
        for name in ("variants.txt", "images_variant_trainval.txt", "images_variant_test.txt")
    )
    texts = images.read([variants, *lists])
    classes = _names(f"{AIRCRAFT_ARCHIVE}: {variants}", texts[variants])
    train, test = (
        [
            _Row(where, f"{_AIRCRAFT}images/{number}.jpg", variant)
            for number, (where, variant) in _table(
                f"{AIRCRAFT_ARCHIVE}: {name}", texts[name], "NUMBER VARIANT"
            ).items()
        ]
        for name in lists
    )
    return _listing(dict(zip(classes, classes, strict=True)), train, test)


LAYOUTS = {
    "tiny_imagenet": Layout(TINY_ARCHIVE, read_tiny_imagenet),
    "cub200": Layout(CUB_ARCHIVE, read_cub),
    "stanford_dogs": Layout("images.tar", read_dogs, extras=(DOGS_LISTS,)),
    "mit67": Layout(MIT_ARCHIVE, read_mit67, extras=MIT_LISTS),
    # 20 pixels with the photographer's name, which the publisher asks to remove.
    "fgvc_aircraft": Layout(AIRCRAFT_ARCHIVE, read_aircraft, cut_bottom=20),
}

"""The lists of five published data sets, and the official ones where they are at hand."""

import io
import os
import random
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import torchvision
from scipy.io import loadmat
from small_sets import AIRCRAFT, CUB, DOGS, MIT, MIT_LISTS, TINY, A, T, mat, read

from aikd.engine.archives import archives_of
from aikd.engine.sources.containers import open_container
from aikd.engine.sources.layouts import LAYOUTS
from aikd.engine.sources.listing import Entry, Listing, check_counts
from aikd.errors import UserError
from aikd.study.catalogue import DATA_SETS

REAL = Path(os.environ.get("AIKD_TEST_DATA", ""))
needs_data = pytest.mark.skipif("AIKD_TEST_DATA" not in os.environ, reason="AIKD_TEST_DATA names no folder")


def pairs(listing: Listing) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    train, test = ([(entry.path, entry.label) for entry in half] for half in (listing.train, listing.test))
    return train, test


def test_cub_links_its_lists_by_the_number_of_the_image() -> None:
    listing = read("cub200", CUB)
    assert listing.class_names == ["001.A", "002.B"]
    folder = "CUB_200_2011/images/"
    assert pairs(listing) == (
        [(f"{folder}001.A/y.jpg", 0), (f"{folder}002.B/z z.jpg", 1)],
        [(f"{folder}001.A/x.jpg", 0), (f"{folder}002.B/x.jpg", 1)],
    )


def test_cub_does_not_rely_on_the_same_order_of_its_lists() -> None:
    shuffled = {
        name: b"".join(sorted(data.splitlines(keepends=True), reverse=name[-10:] != "images.txt"))
        for name, data in CUB.items()
    }
    expected, found = read("cub200", CUB), read("cub200", shuffled)
    names = {(e.path, expected.class_names[e.label]) for e in expected.train}
    assert {(e.path, found.class_names[e.label]) for e in found.train} == names


def test_tiny_imagenet_has_sorted_classes_and_training_images_and_val_in_list_order() -> None:
    listing = read("tiny_imagenet", TINY)
    assert listing.class_names == ["goldfish", "bee"]
    assert pairs(listing) == (
        [
            (f"{T}train/n1/images/n1_10.JPEG", 0),
            (f"{T}train/n1/images/n1_9.JPEG", 0),
            (f"{T}train/n2/images/n2_0.JPEG", 1),
        ],
        [(f"{T}val/images/v0.JPEG", 1), (f"{T}val/images/v1.JPEG", 0)],
    )


def test_tiny_imagenet_does_not_depend_on_the_order_in_the_zip() -> None:
    names = list(TINY)
    for seed in range(5):
        random.Random(seed).shuffle(names)
        assert read("tiny_imagenet", {name: TINY[name] for name in names}) == read("tiny_imagenet", TINY)


def test_tiny_imagenet_classes_that_share_a_word_are_told_apart() -> None:
    words = {f"{T}words.txt": b"n1\tcrane, bird\nn2\tcrane, machine\n"}
    assert read("tiny_imagenet", TINY | words).class_names == ["crane (n1)", "crane (n2)"]


def test_dogs_take_classes_in_the_order_of_the_labels() -> None:
    listing = read("stanford_dogs", {}, DOGS)
    assert listing.class_names == ["n2-Pug", "n1-Toy_dog"]
    assert pairs(listing) == (
        [("Images/n2-Pug/n2_7.jpg", 0), ("Images/n1-Toy_dog/n1_1.jpg", 1)],
        [("Images/n1-Toy_dog/n1_2.jpg", 1), ("Images/n2-Pug/n2_1.jpg", 0)],
    )


def test_the_mat_files_made_here_load_as_the_published_ones_do() -> None:
    """A column of cells that hold one string each, and a column of numbers."""
    content = loadmat(io.BytesIO(DOGS["train_list.mat"]))
    assert content["file_list"].shape == content["labels"].shape == (2, 1)
    cell = content["file_list"][0, 0]
    assert (cell.shape, cell.dtype.kind, cell.item()) == ((1,), "U", "n2-Pug/n2_7.jpg")


def test_mit67_sorts_its_classes_and_takes_any_line_ending() -> None:
    listing = read("mit67", MIT, MIT_LISTS)
    assert listing.class_names == ["attic", "bar"]
    assert pairs(listing) == (
        [("Images/bar/a.jpg", 1), ("Images/attic/b c.jpg", 0)],
        [("Images/attic/e.jpg", 0), ("Images/bar/d.jpg", 1)],
    )


def test_mit67_finds_its_folder_in_an_archive_made_by_hand() -> None:
    others = (
        "older/and/longer/Images/bar/a.jpg",
        "Images.txt",
        "MyImages/bar/a.jpg",
        "indoorCVPR_09/Images/bar/Images/x.jpg",
    )
    for extra in ({}, *({name: b""} for name in others)):
        moved = {f"indoorCVPR_09/{name}": data for name, data in MIT.items()} | extra
        assert read("mit67", moved, MIT_LISTS).train[0].path == "indoorCVPR_09/Images/bar/a.jpg"


def test_mit67_names_that_are_not_utf8_are_those_that_tarfile_gives(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "indoorCVPR_09.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1"
    ) as tar:
        for name in ("bar/café.jpg", "attic/x.jpg", "bar/d.jpg", "attic/e.jpg"):
            tar.addfile(tarfile.TarInfo(f"Images/{name}"))
    lists = MIT_LISTS | {"TrainImages.txt": "bar/café.jpg\nattic/x.jpg\n".encode("latin-1")}
    container = open_container(tmp_path / "indoorCVPR_09.tar")
    listing = LAYOUTS["mit67"].read(container, lists)
    assert set(container.names()) == {entry.path for entry in (*listing.train, *listing.test)}


def test_aircraft_variants_may_contain_spaces_and_slashes() -> None:
    listing = read("fgvc_aircraft", AIRCRAFT)
    assert listing.class_names == ["707-320", "Boeing 717", "F/A-18"]
    assert pairs(listing) == (
        [(f"{A}images/0000003.jpg", 1), (f"{A}images/0000001.jpg", 0), (f"{A}images/0000005.jpg", 2)],
        [(f"{A}images/0000002.jpg", 2), (f"{A}images/0000004.jpg", 0), (f"{A}images/0000006.jpg", 1)],
    )


def test_layouts_name_the_files_that_are_downloaded_and_only_aircraft_is_cut() -> None:
    for name, layout in LAYOUTS.items():
        assert {layout.images, *layout.extras} == set(archives_of(name))
    assert {name: layout.cut_bottom for name, layout in LAYOUTS.items() if layout.cut_bottom} == {
        "fgvc_aircraft": 20
    }


# Counts


def listing_of(train: list[int], test: list[int], classes: int) -> Listing:
    halves = (
        [Entry(f"{half}{i}", label) for i, label in enumerate(ls)] for half, ls in (("a", train), ("b", test))
    )
    return Listing([f"c{i}" for i in range(classes)], *halves)


def test_exact_counts_pass() -> None:
    check_counts(listing_of([0, 1, 1], [1, 0], 2), "x", 2, 3, 2)


@pytest.mark.parametrize("expected", [(3, 3, 2), (2, 4, 2), (2, 3, 1)])
def test_other_counts_are_refused_with_all_numbers(expected: tuple[int, int, int]) -> None:
    with pytest.raises(UserError) as error:
        check_counts(listing_of([0, 1, 1], [1, 0], 2), "x", *expected)
    classes, train, test = expected
    wanted = f"{classes} classes, {train} training and {test} test images"
    assert str(error.value) == f"data set x: expected {wanted}; found 2 classes, 3 training and 2 test images"


@pytest.mark.parametrize(("train", "test", "kind"), [([0, 0], [0, 1], "training"), ([0, 1], [0, 0], "test")])
def test_a_class_without_images_is_refused(train: list[int], test: list[int], kind: str) -> None:
    with pytest.raises(UserError, match=f"data set x: no {kind} image of 1 classes: c1"):
        check_counts(listing_of(train, test, 2), "x", 2, 2, 2)


# The official lists and excerpts of the archives


def official(name: str, file: str) -> bytes:
    return (REAL / "split_lists" / name / file).read_bytes()


def official_dogs() -> Listing:
    lists = {}
    for half in ("train", "test"):
        lines = official("stanford_dogs", f"dog_{half}.txt").decode().splitlines()
        files, labels = zip(*(line.rsplit(" ", 1) for line in lines), strict=True)
        lists[f"{half}_list.mat"] = mat(list(files), [int(label) + 1 for label in labels])
    return read("stanford_dogs", {}, lists)


def official_listing(name: str) -> Listing:
    if name == "stanford_dogs":
        return official_dogs()
    if name == "mit67":
        return read("mit67", MIT, {file: official(name, file) for file in MIT_LISTS})
    small = {"cub200": CUB, "fgvc_aircraft": AIRCRAFT}[name]
    return read(name, {file: official(name, Path(file).name) for file in small})


@needs_data
@pytest.mark.parametrize("name", ["cub200", "stanford_dogs", "mit67", "fgvc_aircraft"])
def test_official_lists_have_the_published_counts_and_agree_with_the_names_of_the_files(name: str) -> None:
    listing, expected = official_listing(name), DATA_SETS[name]
    check_counts(listing, name, expected.classes, expected.train, expected.test)
    for entry in (*listing.train, *listing.test):
        if name != "fgvc_aircraft":  # its files are all in one folder
            assert Path(entry.path).parts[-2] == listing.class_names[entry.label]


@needs_data
def test_official_counts_of_each_class() -> None:
    """As the publishers describe them."""
    dogs, mit = official_listing("stanford_dogs"), official_listing("mit67")
    assert set(Counter(entry.label for entry in dogs.train).values()) == {100}
    counts = [Counter(entry.label for entry in half).values() for half in (mit.train, mit.test)]
    assert [(min(count), max(count)) for count in counts] == [(77, 83), (17, 23)]
    aircraft = official_listing("fgvc_aircraft")
    assert set(Counter(entry.label for entry in aircraft.train).values()) <= {66, 67}


@needs_data
def test_every_listed_image_of_the_cub_excerpt_is_in_it() -> None:
    container = open_container(REAL / "CUB_200_2011-8classes.tgz")
    listing = LAYOUTS["cub200"].read(container, {})
    listed = {entry.path for entry in (*listing.train, *listing.test)}
    assert listed == {name for name in container.names() if name.endswith(".jpg")}
    assert listing.class_names[0] == "001.Black_footed_Albatross"
    full = official_listing("cub200")
    assert set(listing.train) <= set(full.train)
    assert set(listing.test) <= set(full.test)


@needs_data
def test_the_tiny_imagenet_excerpt_is_listed_as_torchvision_lists_it(tmp_path: Path) -> None:
    container = open_container(REAL / "tiny-imagenet-20classes.zip")
    listing = LAYOUTS["tiny_imagenet"].read(container, {})
    check_counts(listing, "excerpt", 20, 10_000, 1_000)
    for entry in listing.train:
        (tmp_path / entry.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / entry.path).touch()
    reference = torchvision.datasets.ImageFolder(str(tmp_path / T / "train"))
    assert [(str(tmp_path / entry.path), entry.label) for entry in listing.train] == reference.samples
    assert len(set(listing.class_names)) == 20

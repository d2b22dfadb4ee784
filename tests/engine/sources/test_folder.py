"""A user's folder as a listing: the split where the folder has none."""

from collections import Counter
from pathlib import Path

import pytest

from aikd.engine.sources import folder as folder_module
from aikd.engine.sources.folder import folder_files, list_folder
from aikd.engine.sources.listing import Listing, check_counts
from aikd.errors import UserError
from aikd.study.folders import scan

COUNTS = {"ant": 2, "bee": 10, "cat": 25}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three class folders; each image holds its own path."""
    for name, count in COUNTS.items():
        (tmp_path / name).mkdir()
        for index in range(count):
            (tmp_path / name / f"{index:02}.jpg").write_text(f"{name}/{index:02}.jpg")
    return tmp_path


def test_a_split_of_its_own_is_kept_whatever_fraction_and_seed(tmp_path: Path) -> None:
    for name in ("train/b/1.jpg", "train/a/2.jpg", "train/a/1.jpg", "val/a/3.jpg", "val/b/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for fraction, seed in ((0.2, 0), (0.9, 7)):
        listing = list_folder(tmp_path, fraction, seed)
        assert listing.class_names == ["a", "b"]
        assert [(e.path, e.label) for e in listing.train] == [
            ("train/a/1.jpg", 0), ("train/a/2.jpg", 0), ("train/b/1.jpg", 1)
        ]  # fmt: skip
        assert [(e.path, e.label) for e in listing.test] == [("val/a/3.jpg", 0), ("val/b/4.jpg", 1)]


@pytest.mark.parametrize(
    ("fraction", "held"), [(0.2, [1, 2, 5]), (0.01, [1, 1, 1]), (0.99, [1, 9, 24]), (0.5, [1, 5, 12])]
)
def test_the_split_has_the_fraction_of_each_class(images: Path, fraction: float, held: list[int]) -> None:
    listing = list_folder(images, fraction, split_seed=0)
    counts = Counter(entry.label for entry in listing.test)
    assert [counts[label] for label in range(3)] == held
    everything = sorted(entry.path for entry in (*listing.train, *listing.test))
    assert everything == sorted(path.relative_to(images).as_posix() for path in images.rglob("*.jpg"))
    for entry in (*listing.train, *listing.test):
        assert listing.class_names[entry.label] == Path(entry.path).parent.name


def test_the_listing_is_what_the_scan_announced(images: Path) -> None:
    for fraction in (0.05, 0.3, 0.5, 0.95):
        found = scan(images, fraction)
        listing = list_folder(images, fraction, 3)
        assert listing.class_names == list(found.classes)
        check_counts(listing, "own", 3, found.train, found.test)
        assert [Counter(e.label for e in listing.train)[label] for label in range(3)] == [
            *found.classes.values()
        ]


def paths(listing: Listing) -> set[str]:
    return {entry.path for entry in listing.test}


def test_a_seed_is_a_split_and_every_image_is_in_some_test_half(images: Path) -> None:
    assert list_folder(images, 0.2, 5) == list_folder(images, 0.2, 5)
    splits = [paths(list_folder(images, 0.2, seed)) for seed in range(40)]
    assert len({frozenset(split) for split in splits}) == 40
    assert len(set().union(*splits)) == sum(COUNTS.values())


def test_the_split_is_the_same_from_release_to_release(images: Path) -> None:
    """Written down once: results of a split that changed unnoticed could not be compared."""
    ant, bee, cat = ["01"], ["01", "06"], ["07", "09", "14", "20", "21"]
    expected = [
        f"{name}/{i}.jpg" for name, chosen in zip(COUNTS, (ant, bee, cat), strict=True) for i in chosen
    ]
    assert [entry.path for entry in list_folder(images, 0.2, 0).test] == expected


def test_files_are_read_in_order_through_links_too(images: Path) -> None:
    (images / "ant/linked.jpg").symlink_to(images / "bee/03.jpg")
    wanted = ["bee/09.jpg", "ant/linked.jpg", "ant/00.jpg"]
    assert list(folder_files(images, wanted)) == [
        ("ant/00.jpg", b"ant/00.jpg"), ("ant/linked.jpg", b"bee/03.jpg"), ("bee/09.jpg", b"bee/09.jpg")
    ]  # fmt: skip


def test_files_that_are_gone_or_too_large_are_refused(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"ant/9\.jpg: cannot be read \(No such file"):
        list(folder_files(images, ["ant/9.jpg"]))
    monkeypatch.setattr(folder_module, "LARGEST", len("ant/00.jpg"))
    assert len(list(folder_files(images, ["ant/00.jpg"]))) == 1
    (images / "ant/00.jpg").write_text("longer than its name")
    with pytest.raises(UserError, match=r"ant/00\.jpg: larger than 10 bytes"):
        list(folder_files(images, ["ant/00.jpg"]))

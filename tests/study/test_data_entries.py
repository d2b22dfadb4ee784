"""Data sets in a study: published ones, excerpts of them, and folders of one's own."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from aikd.errors import UserError
from aikd.study import queries
from aikd.study.catalogue import DATA_SETS, PHOTOGRAPHS
from aikd.study.load import check_study
from aikd.study.resolve import prepared_folder, resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study, look
from tests.conftest import PAPER, changed, parsed


def study(data: dict[str, Any], **further: Any) -> Study:
    """A study of one ResNet and the Baseline on some data sets."""
    return check_study(
        {
            "name": "own",
            "seeds": [0],
            "data": data,
            "models": {"resnet18": {"label": "ResNet-18"}},
            "methods": {"baseline": {}},
            "tables": {"table_2": {"kind": "comparison", "caption": "All.", "metrics": ["top1_error"]}},
            **further,
        }
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of twenty and ten images, without a split. Nothing looks inside them."""
    for name, count in (("cats", 20), ("dogs", 10)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(count):
            (tmp_path / "photos" / name / f"{i}.jpg").write_bytes(b"x")
    return tmp_path / "photos"


def own(folder: Path, **further: Any) -> dict[str, Any]:
    return {"mine": {"folder": str(folder), "models": ["resnet18"], **further}}


def test_a_folder_is_a_data_set_like_any_other(photos: Path) -> None:
    s = study(own(photos, label="My photos", test_fraction=0.4))
    assert s.dataset("mine").label == "My photos"
    assert [run.path for run in queries.runs_of(s)] == ["mine/resnet18/baseline/seed0"]
    settings = resolve(s, Run.from_path("mine/resnet18/baseline/seed0"))
    assert settings["data"]["classes"] == 2
    assert settings["data"]["transform"] == PHOTOGRAPHS.model_dump(mode="json")
    # 20 and 10 images: 8 and 4 are for testing.
    assert resolve_data(s, "mine")["counts"] == {"classes": 2, "train": 18, "test": 12}


def test_a_new_image_in_the_folder_is_new_data(photos: Path) -> None:
    before = resolve_data(study(own(photos)), "mine")
    (photos / "cats" / "new.jpg").write_bytes(b"x")
    # One look serves a whole process: another one has another.
    assert resolve_data(study(own(photos, label="other words")), "mine") == before
    look.cache_clear()
    after = resolve_data(study(own(photos)), "mine")
    assert before["source"]["fingerprint"] != after["source"]["fingerprint"]
    assert prepared_folder(before) != prepared_folder(after)


def test_photographs_are_stored_larger_for_training_than_for_testing(paper: Study) -> None:
    assert resolve_data(paper, "cub200") == {
        "name": "cub200",
        "counts": {"classes": 200, "train": 5994, "test": 5794},
        "sides": {"train": 384, "test": 256},
        "source": {"accept_other": False},
    }
    assert resolve_data(paper, "tiny_imagenet")["sides"] == {"train": None, "test": None}


def prepared_as(data: dict[str, Any], **further: Any) -> str:
    """The folder that a run's settings name: where training looks for its data."""
    (name,) = data
    settings = resolve(study(data, **further), Run.from_path(f"{name}/resnet18/baseline/seed0"))
    found: str = settings["data"]["prepared"]
    return found


def test_what_decides_what_is_prepared_decides_where(photos: Path, tmp_path: Path) -> None:
    """All ways in which two studies can prepare a set differently, and not the same folder twice."""
    same = photos.rename(tmp_path / "same"), shutil.copytree(tmp_path / "same", tmp_path / "copy")
    ways: list[dict[str, Any]] = [
        {},
        {"stored_side": 256},
        {"accept_other": True},
        {"counts": {"classes": 8, "train": 240, "test": 184}, "accept_other": True},
        {"transform": {"resize": 280}},
    ]
    found = [prepared_as({"cub200": {"models": ["resnet18"], **way}}) for way in ways]
    found += [prepared_as(own(folder)) for folder in same]
    found += [prepared_as(own(same[0], **way)) for way in ({"split_seed": 1}, {"test_fraction": 0.3})]
    assert len(set(found)) == 9
    assert all(re.fullmatch(r"(cub200|mine)/[0-9a-f]{12}", folder) for folder in found)


def test_what_only_says_where_archives_come_from_or_how_training_uses_the_data_prepares_nothing_anew() -> (
    None
):
    plain = prepared_as({"cub200": {"models": ["resnet18"]}})
    uses: list[dict[str, Any]] = [
        {"label": "Birds"},
        {"images_per_class": 5, "holdout_per_class": 2},
        {"transform": {"flip": False}},
        {"stored_side": 384},
    ]
    assert {prepared_as({"cub200": {"models": ["resnet18"], **use}}) for use in uses} == {plain}
    assert prepared_as({"cub200": {"models": ["resnet18"]}}, mirror="https://archives.example.org") == plain


def test_the_name_of_prepared_data_is_the_same_from_release_to_release(paper: Study) -> None:
    """Written down once: data under another name are prepared, and everything is trained, again."""
    settings = resolve_data(paper, "cub200")
    assert (
        prepared_folder(settings)
        == prepared_folder(dict(reversed(settings.items())))
        == "cub200/83b79c10c5dd"
    )


def test_an_excerpt_has_counts_of_its_own() -> None:
    counts = {"classes": 8, "train": 240, "test": 184}
    s = study({"cub200": {"models": ["resnet18"], "accept_other": True, "counts": counts}})
    assert resolve_data(s, "cub200")["counts"] == counts
    assert resolve(s, Run.from_path("cub200/resnet18/baseline/seed0"))["data"]["classes"] == 8


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("mine", {}, r'data \(any other name needs a `folder`\): found "mine"'),
        ("mine", {"folder": "no/such"}, r"data\.mine: .*no/such: cannot be read"),
        ("cub200", {"folder": "{photos}"}, r"data\.cub200\.folder: cub200 is a published data set"),
        ("mine", {"folder": "{photos}", "accept_other": True}, r"data\.mine\.accept_other: has no meaning"),
        ("mine", {"folder": "{photos}", "test_fraction": 1.0}, r"data\.mine\.test_fraction: found 1\.0"),
        ("cub200", {"split_seed": 1}, r"data\.cub200\.split_seed: has no meaning for a published data set"),
        ("cifar100", {"stored_side": 256}, r"data\.cifar100\.stored_side: has no meaning for padded crops"),
        (
            "cub200",
            {"transform": {"mean": [0, 0, 0], "std": [1, 0, 1]}},
            r"data\.cub200\.transform: std \[1\.0, 0\.0, 1\.0\]: allowed are numbers above 0",
        ),
        ("cub200", {"stored_side": 255}, r"data\.cub200\.stored_side: found 255, .* needs 256"),
        (
            "cub200",
            {"counts": {"classes": 8, "train": 240, "test": 184}},
            r"data\.cub200\.counts: .* needs `accept_other: true`",
        ),
        (
            "mine",
            {"folder": "{photos}", "transform": {"resize": 100}},
            r"data\.mine\.transform: resize 100 is less than size 224",
        ),
        ("cub200", {"counts": {"classes": 8}}, r"data\.cub200\.counts\.train: missing"),
        (
            "cub200",
            {"counts": {"classes": 2, "train": 9, "test": 4}, "accept_other": True},
            r"calibration\.folds: found 5, more than the 4 ",
        ),
        (
            "cub200",
            {"images_per_class": 30},
            r"data\.cub200: .*need 30 .* every class; its smallest class has 29",
        ),
        ("cub200", {"images_per_class": 20, "holdout_per_class": 10}, r"need 30 training images"),
        (
            "mit67",
            {"holdout_per_class": 77},
            r"need 78 training images of every class; its smallest class has 77",
        ),
        ("mine", {"folder": "{photos}", "images_per_class": 9}, r"data\.mine: .*its smallest class has 8"),
        (
            "cub200",
            {
                "counts": {"classes": 8, "train": 240, "test": 184},
                "accept_other": True,
                "images_per_class": 31,
            },
            r"need 31 training images of every class; its classes have 30 on average",
        ),
        (
            "downloads",
            {"folder": "{photos}"},
            r"data\.downloads: the folder data/downloads serves another purpose",
        ),
        ("logs", {"folder": "{photos}"}, r"data\.logs: the folder data/logs serves"),
        ("benchmarks", {"folder": "{photos}"}, r"data\.benchmarks: the folder data/benchmarks serves"),
        (
            "prepare_mine",
            {"folder": "{photos}"},
            r"data\.prepare_mine: a target of the workflow has this name",
        ),
        ("train", {"folder": "{photos}"}, r"data\.train: a target of the workflow has this name"),
        ("table_2", {"folder": "{photos}"}, r"data\.table_2: a target of the workflow has this name"),
    ],
)
def test_a_mistake_is_found_before_anything_is_read(
    photos: Path, name: str, entry: dict[str, Any], words: str
) -> None:
    filled = {
        key: value.format(photos=photos) if isinstance(value, str) else value for key, value in entry.items()
    }
    with pytest.raises(UserError, match=words):
        study({name: {"models": ["resnet18"], **filled}})


@pytest.mark.parametrize("key", ["test_fraction", "split_seed"])
def test_how_to_split_is_refused_where_there_is_a_split(photos: Path, tmp_path: Path, key: str) -> None:
    shutil.copytree(photos, tmp_path / "split/train")
    photos.rename(tmp_path / "split/val")
    study(own(tmp_path / "split"))
    with pytest.raises(
        UserError, match=rf"data\.mine\.{key}: .*split has its test images in val/; take it out"
    ):
        study(own(tmp_path / "split", **{key: {"test_fraction": 0.3, "split_seed": 1}[key]}))


@pytest.mark.parametrize(
    ("name", "transform", "resize"),
    [
        ("cub200", {}, 256),
        ("cub200", {"size": 112}, 128),
        ("cub200", {"size": 32}, 37),
        ("cub200", {"size": 112, "resize": 112}, 112),
        ("cub200", {"size": 112, "resize": None}, None),
        ("tiny_imagenet", {"size": 64}, 64),
        ("cifar100", {"size": 24}, None),
    ],
)
def test_a_size_takes_the_size_of_test_images_with_it(
    name: str, transform: dict[str, Any], resize: int | None
) -> None:
    s = study({name: {"models": ["resnet18"], "transform": transform}})
    assert s.dataset(name).transform.resize == resize


@pytest.mark.parametrize("mirror", ["", " ", "ftp://example.org", "file:///archives"])
def test_a_mirror_is_a_folder_or_a_url(mirror: str) -> None:
    with pytest.raises(UserError, match=r"mirror: .*allowed: a folder, or a URL that begins with http://"):
        study({"cub200": {"models": ["resnet18"]}}, mirror=mirror)
    study({"cub200": {"models": ["resnet18"]}}, mirror="https://example.org/archives")
    study({"cub200": {"models": ["resnet18"]}}, mirror="../archives")


def test_as_many_images_as_the_smallest_class_has_are_allowed(photos: Path) -> None:
    study({"cub200": {"models": ["resnet18"], "images_per_class": 29}})
    study(own(photos, images_per_class=6, holdout_per_class=2))


@pytest.mark.parametrize("name", ["prepare_mine", "prepare_"])
def test_no_table_takes_the_name_of_a_target_that_prepares(photos: Path, name: str) -> None:
    table = {"kind": "datasets", "caption": "x"}
    with pytest.raises(UserError, match=f"{name}: a step of the workflow has this name"):
        study(own(photos), tables={name: table})


def test_the_catalogue_stores_nothing_smaller_than_its_test_transform_needs() -> None:
    sides = {name: (d.stored_side, d.transform.resize) for name, d in DATA_SETS.items() if d.stored_side}
    assert len(sides) == 4
    assert all(resize is not None and stored >= resize for stored, resize in sides.values())
    parsed_paper = parsed(PAPER)
    smaller = changed(parsed_paper, {"data/cub200/stored_side": 256})
    assert resolve_data(check_study(smaller), "cub200")["sides"] == {"train": 256, "test": 256}

"""Data sets in a study: published ones, excerpts of them, and folders of one's own."""

from pathlib import Path
from typing import Any

import pytest

from aikd.errors import UserError
from aikd.study import queries
from aikd.study.catalogue import DATA_SETS, PHOTOGRAPHS
from aikd.study.load import check_study
from aikd.study.resolve import resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
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
    after = resolve_data(study(own(photos, label="other words")), "mine")
    assert before["source"]["fingerprint"] != after["source"]["fingerprint"]


def test_photographs_are_stored_larger_for_training_than_for_testing(paper: Study) -> None:
    assert resolve_data(paper, "cub200") == {
        "name": "cub200",
        "counts": {"classes": 200, "train": 5994, "test": 5794},
        "sides": {"train": 384, "test": 256},
        "source": {"accept_other": False},
    }
    assert resolve_data(paper, "tiny_imagenet")["sides"] == {"train": None, "test": None}


def test_what_training_sees_of_the_data_does_not_depend_on_how_it_is_fetched(photos: Path) -> None:
    run = Run.from_path("cub200/resnet18/baseline/seed0")
    plain, excerpt = (
        study({"cub200": {"models": ["resnet18"], **entry}}, **further)
        for entry, further in (
            ({}, {}),
            ({"accept_other": True}, {"mirror": "https://archives.example.org"}),
        )
    )
    assert resolve(plain, run) == resolve(excerpt, run)
    assert resolve_data(plain, "cub200")["source"] == {"accept_other": False}
    assert "mirror" not in str(resolve_data(excerpt, "cub200"))


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
        ("cub200", {"stored_side": 255}, r"data\.cub200\.stored_side: found 255, .* needs 256"),
        ("cub200", {"counts": {"classes": 8}}, r"data\.cub200\.counts\.train: missing"),
        (
            "cub200",
            {"counts": {"classes": 2, "train": 9, "test": 4}},
            r"calibration\.folds: found 5, more than the 4 ",
        ),
        ("cub200", {"images_per_class": 31}, r"data\.cub200: .*need 31 training images of every class; 5994"),
        ("cub200", {"images_per_class": 20, "holdout_per_class": 10}, r"need 30 training images"),
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


def test_the_catalogue_stores_nothing_smaller_than_its_test_transform_needs() -> None:
    sides = {name: (d.stored_side, d.transform.resize) for name, d in DATA_SETS.items() if d.stored_side}
    assert len(sides) == 4
    assert all(resize is not None and stored >= resize for stored, resize in sides.values())
    parsed_paper = parsed(PAPER)
    smaller = changed(parsed_paper, {"data/cub200/stored_side": 256})
    assert resolve_data(check_study(smaller), "cub200")["sides"] == {"train": 256, "test": 256}

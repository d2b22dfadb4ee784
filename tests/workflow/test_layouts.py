"""All six published layouts and a folder of one's own, from a server to the tables, in one call of Snakemake."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from aikd.engine.exporting import export
from aikd.records import read_predictions
from aikd.study.load import load_study
from tests.workflow import archives
from tests.workflow.conftest import Project, copy_project

SMALL = {"models": ["preact_resnet18"]}
LARGE = {"models": ["resnet18"], "transform": {"size": 32, "resize": 36}, "stored_side": 44}
PUBLISHED: dict[str, dict[str, Any]] = {
    "cifar100": SMALL,
    "tiny_imagenet": SMALL,
    "cub200": LARGE,
    "stanford_dogs": LARGE,
    "mit67": LARGE,
    "fgvc_aircraft": LARGE,
}


def study(mirror: str) -> dict[str, object]:
    """One epoch of the Baseline on everything."""
    accepted = {"accept_other": True, "counts": archives.COUNTS}
    narrow = {"width": 4, "blocks": [1, 1, 1, 1], "label": "ResNet-18"}
    return {
        "name": "layouts",
        "seeds": [0],
        "mirror": mirror,
        "recipe": {"epochs": 1, "batch_size": 3, "milestones": []},
        "data": {name: entry | accepted for name, entry in PUBLISHED.items()}
        | {"mine": LARGE | {"folder": "photos", "label": "My photos", "test_fraction": 0.4}},
        "models": {"preact_resnet18": narrow, "resnet18": narrow},
        "methods": {"baseline": {}},
        "calibration": {"folds": 2},
        "tables": {
            "table_1": {"kind": "datasets", "caption": "Data.", "published": 1},
            "table_2": {"kind": "comparison", "caption": "Errors.", "metrics": ["top1_error"]},
        },
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy in which the study has run to its end, the server gone again."""
    project = copy_project(tmp_path_factory.mktemp("layouts"))
    for name, data in archives.pictures(dict.fromkeys(archives.CLASSES, "photos/{c}/{i}.jpg")).items():
        (project.root / name).parent.mkdir(parents=True, exist_ok=True)
        (project.root / name).write_bytes(data)
    with archives.served(tmp_path_factory.mktemp("server")) as address:
        (project.root / "layouts.yaml").write_text(yaml.safe_dump(study(address)))
        result = project.snakemake("--resources", "gpu=2", study="layouts.yaml")
    assert result.returncode == 0, result.stdout
    return project


def prepared(project: Project, name: str) -> Path:
    """The only folder in which a set is prepared."""
    (folder,) = (project.root / "data" / name).iterdir()
    return folder


def manifest(project: Project, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((prepared(project, name) / "manifest.json").read_text())
    return found


def test_every_set_reaches_both_tables(done: Project) -> None:
    tables = done.root / "results/layouts/tables"
    counts = pd.read_csv(tables / "table_1.csv")
    assert len(counts) == 7
    assert (counts["Classes"] == 2).all()
    assert (counts["Train"] == 6).all()
    assert (counts["Valid"] == 4).all()
    errors = pd.read_csv(tables / "table_2.csv")
    assert errors["mean"].between(0, 100).all()
    assert len(errors) == 7


def test_tables_say_that_the_archives_are_not_the_published_ones(done: Project) -> None:
    text = (done.root / "results/layouts/tables/table_2.md").read_text()
    assert text.count("not made of what was published") == 6
    assert "mine: " not in text


def test_what_is_not_rgb_is_converted_and_listed(done: Project) -> None:
    tiny, mit = (manifest(done, name)["conversions"] for name in ("tiny_imagenet", "mit67"))
    assert isinstance(tiny, dict)
    assert isinstance(mit, dict)
    assert sum(kind["count"] for kind in tiny.values()) == 6
    assert sorted(path for kind in mit.values() for path in kind["first"]) == [
        "Images/ape/r0.jpg",
        "Images/ape/r1.jpg",
    ]


def test_nothing_is_left_to_do_without_the_server(done: Project) -> None:
    assert done.planned(study="layouts.yaml") == {}


def test_results_make_the_same_tables_where_there_are_no_archives_and_no_images(
    done: Project, tmp_path: Path
) -> None:
    packed = done.run("aikd", "archive", "--study", "layouts.yaml", "--to", "layouts.zip")
    assert packed.returncode == 0, packed.stdout
    elsewhere = copy_project(tmp_path)
    unpacked = elsewhere.run("aikd", "unpack", str(done.root / "layouts.zip"))
    assert unpacked.returncode == 0, unpacked.stdout
    again = "results/layouts/study.yaml"
    expected = {"table": 2, "published": 1, "figure": len(PUBLISHED) + 1}
    expected |= dict.fromkeys(("all_runs", "claims", "classes", "report", "paper"), 1)
    assert elsewhere.planned(study=again) == expected
    result = elsewhere.snakemake(study=again)
    assert result.returncode == 0, result.stdout
    made = [path.relative_to(done.root) for path in (done.root / "results/layouts/tables").iterdir()]
    assert len(made) == 3 * 3
    for path in [*made, Path("results/layouts/all_runs.csv"), Path("results/layouts/costs.csv")]:
        assert (elsewhere.root / path).read_bytes() == (done.root / path).read_bytes()
    assert not (elsewhere.root / "photos").exists()
    assert not (elsewhere.root / "data/downloads").exists()


def evaluated(name: str) -> list[bytes]:
    """The published files of a set's evaluation images, in the order of its list."""
    if name == "cifar100":
        pixels = np.random.default_rng(2).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
        files = [io.BytesIO() for _ in pixels]
        for image, file in zip(pixels, files, strict=True):
            Image.fromarray(image.transpose(1, 2, 0)).save(file, "PNG")
        return [file.getvalue() for file in files]
    size = {"tiny_imagenet": (64, 64), "fgvc_aircraft": (60, 70)}.get(name, (48, 40))
    numbers = [(label, i + 5 * label * (name == "cub200")) for label in (0, 1) for i in (3, 4)]
    return [archives.picture(label, i, size=size) for label, i in numbers]


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_exported_student_sees_published_files_as_evaluation_saw_them(
    done: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(done.root)
    monkeypatch.setenv("AIKD_DEVICE", "cpu")
    run, results = f"{name}/{PUBLISHED[name]['models'][0]}/baseline/seed0", Path("results/layouts")
    model = export(load_study(Path("layouts.yaml")), run, results, Path("data"), tmp_path / "export")
    predictions = read_predictions(results, run)
    assert predictions is not None
    wanted = predictions[0]["logits"]
    files = [tmp_path / f"{number}.jpg" for number in range(4)]
    for file, content in zip(files, evaluated(name), strict=True):
        file.write_bytes(content)
    np.testing.assert_allclose(model.logits(files), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    assert model.facts.transform.cut_bottom == (20 if name == "fgvc_aircraft" else 0)


def test_arrays_that_were_deleted_come_back_byte_for_byte_and_nothing_is_trained_again(done: Project) -> None:
    folder = prepared(done, "cub200")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    result = done.snakemake("prepare_cub200", study="layouts.yaml")
    assert result.returncode == 0, result.stdout
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert done.planned(study="layouts.yaml") == {}


def test_a_new_image_in_ones_own_folder_trains_on_it_alone(done: Project) -> None:
    new = done.root / "photos/ape/new.jpg"
    new.write_bytes(archives.picture(0, 9))
    planned = done.planned(study="layouts.yaml")
    new.unlink()
    again = (
        "prepare",
        "pretrain",
        "predict",
        "calibrate",
        "all_runs",
        "published",
        "figure",
        "report",
        "paper",
    )
    assert planned == dict.fromkeys(again, 1) | {"table": 2}


def test_a_truncated_archive_is_one_message_that_names_it_and_costs_no_good_data(done: Project) -> None:
    archive, folder = done.root / "data/downloads/CUB_200_2011.tgz", prepared(done, "cub200")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-100])
    result = done.snakemake("prepare_cub200", "--forcerun", "prepare", study="layouts.yaml")
    archive.write_bytes(whole)
    log = (done.root / f"data/logs/prepare/cub200/{folder.name}.log").read_text()
    assert result.returncode != 0
    assert log.startswith("aikd prepare: data/downloads/CUB_200_2011.tgz: found sha256")
    assert log.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert done.planned(study="layouts.yaml") == {}


def test_another_study_that_prepares_a_set_otherwise_leaves_the_first_as_it_is(done: Project) -> None:
    """Neither trains on the other's data, and whichever comes first keeps its results."""
    first = prepared(done, "cub200")
    done.edit("layouts.yaml", "name: layouts", "name: others")
    done.edit("layouts.yaml", "stored_side: 44", "stored_side: 40")
    again = ("prepare", "pretrain", "predict", "calibrate", "figure")
    once = ("published", "all_runs", "claims", "classes", "report", "paper")
    planned = done.planned(study="layouts.yaml")
    result = done.snakemake("prepare_cub200", study="layouts.yaml")
    done.edit("layouts.yaml", "name: others", "name: layouts")
    done.edit("layouts.yaml", "stored_side: 40", "stored_side: 44")
    # Four published sets and the folder hold photographs; the small sets are shared.
    assert planned == dict.fromkeys(again, 7) | dict.fromkeys(once, 1) | {"prepare": 5, "table": 2}
    assert result.returncode == 0, result.stdout
    assert len(list(first.parent.iterdir())) == 2
    assert done.planned(study="layouts.yaml") == {}

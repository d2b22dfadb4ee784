"""What is said of how far a study is from the paper, and of the runs behind a table."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from aikd.results.report.about import NETWORKS, Deviation, about, deviations, how_to_read, readings
from aikd.study import beside, queries
from aikd.study.load import check_study
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.specs import FigureSpecs
from tests.conftest import DEMO, PAPER, changed, parsed


def texts(study: Study, data: Path) -> list[str]:
    return [deviation.text for deviation in deviations(study, data)]


def test_the_paper_does_not_deviate_from_itself(paper, tmp_path):
    assert texts(paper, tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [0, 1]}, ["2 seeds instead of 3"]),
        ({"seeds": [4]}, ["1 seed instead of 3"]),
        ({"data/cifar100/images_per_class": 1}, ["CIFAR-100: trained on 1 image of each class"]),
        ({"calibration": {"bins": 10}}, ["10 bins of the calibration error instead of 15"]),
        ({"models/resnet18/width": 16}, ["ResNet-18 (resnet18): another size (width 16)"]),
        ({"data/cifar100/images_per_class": 50}, ["CIFAR-100: trained on 50 images of each class"]),
        (
            {"data/mit67/recipe": {"batch_size": 64, "precision": "bf16"}},
            ["MIT-67: batch size 64 instead of 32; precision bf16 instead of fp32"],
        ),
        ({"data/cub200/transform": {"size": 128}}, ["CUB-200-2011: another transform of the images"]),
        ({"data/cifar100/holdout_per_class": 5}, ["CIFAR-100: 5 training images of each class held out"]),
        (
            {"data/fgvc_aircraft/models": ["resnet18", "densenet121_3x3"]},
            ["FGVC Aircraft: a network that the paper trains on other data (densenet121_3x3)"],
        ),
        (
            {"methods/aikd/settings": {"omega": 0.5, "tau_g": 3}},
            ["AI-KD: with omega = 0.5 instead of 0.1"],
        ),  # τ_G is 3 anyway
        (
            {"methods/cskd": {"settings": {"weight": 3}}},
            [
                f"CS-KD on {name} with {network}: with weight = 3.0 instead of 1.0"
                for name in ("CIFAR-100", "Tiny-ImageNet")
                for network in ("ResNet-18 (preact_resnet18)", "DenseNet-121 (densenet121_3x3)")
            ],
        ),
        (
            {
                "methods/aikd": {
                    "when": [{"data": ["cifar100"], "models": ["preact_resnet18"], "settings": {"tau_p": 2}}]
                }
            },
            ["AI-KD on CIFAR-100 with ResNet-18 (preact_resnet18): with tau_p = 2.0 instead of 1.0"],
        ),
        # How fast, and how often one looks, is no deviation.
        ({"evaluate_every": 10, "threads": 2, "recipe/channels_last": False}, []),
    ],
)
def test_each_change_is_said(changes: dict[str, Any], said: list[str], tmp_path: Path) -> None:
    assert texts(check_study(changed(parsed(PAPER), changes)), tmp_path) == said


def test_a_network_that_the_paper_does_not_have_is_said(paper, tmp_path, monkeypatch):
    monkeypatch.delitem(NETWORKS, "densenet121")
    assert texts(paper, tmp_path) == ["DenseNet-121 (densenet121): not one of the paper's networks"]


def test_archives_that_are_not_the_published_ones_are_said(folder, paper):
    archives = {"cifar.tar.gz": {"sha256": "ab" * 32, "verified": False}}
    where = prepared_folder(resolve_data(paper, "cifar100"))
    folder.manifest(where, source={"archives": archives})
    manifest = folder.data / where / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"{where}"', '"cifar100"'))
    (said,) = texts(paper, folder.data)
    assert said == f"CIFAR-100: not made of what was published, but of cifar.tar.gz (SHA-256 {'ab' * 8}…)"


def test_a_caption_tells_of_its_own_runs_alone(demo, tmp_path):
    found = dict(enumerate(deviations(demo, tmp_path), start=1))
    assert [d.model for d in found.values()] == [None, "preact_resnet18", "densenet121_3x3"]
    said = about(demo, [f"digits/preact_resnet18/aikd/seed{seed}" for seed in (2, 0)], found)
    assert said == (
        "Digits (901 training, 896 test images); seeds 0, 2; 10 epochs, the last is evaluated. Deviations 1, 2."
    )
    assert about(demo, []) == ""
    own = {7: Deviation("of AI-KD", method="aikd")}
    assert about(demo, ["digits/preact_resnet18/aikd/seed0"], own).endswith("is evaluated. Deviation 7.")
    assert about(demo, ["digits/preact_resnet18/pskd/seed0"], own).endswith("is evaluated.")
    assert "; seed 1; " in about(demo, ["digits/preact_resnet18/aikd/seed1"])


def test_parts_of_a_training_set_are_counted(tmp_path):
    run = [Run("cifar100", "preact_resnet18", "aikd").path]
    for entry, train in (({"images_per_class": 50}, "5,000"), ({"holdout_per_class": 10}, "49,000")):
        study = check_study(changed(parsed(PAPER), {f"data/cifar100/{key}": n for key, n in entry.items()}))
        assert f"CIFAR-100 ({train} training, 10,000 test images)" in about(study, run)


def test_one_epoch_is_one_epoch(demo):
    study = check_study(changed(parsed(DEMO), {"recipe/epochs": 1, "recipe/milestones": []}))
    assert "; 1 epoch, the last" in about(study, ["digits/preact_resnet18/aikd/seed1"])


def test_every_kind_of_figure_says_what_its_marks_and_numbers_stand_for(demo):
    drawn = [*(queries.figure(demo, name) for name in demo.figures), *beside.learning_curves(demo).values()]
    assert {type(spec) for spec in drawn} == set(get_args(FigureSpecs))
    for spec in drawn:
        said = how_to_read(spec)
        assert re.match("Dot|Line|Number", said)
        assert re.search(r"\bn\b", said)
    units = how_to_read(drawn[-1])
    assert all(unit in units for unit in ("percent", "nats", "no unit"))


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("aikd", {}, True),
        ("aikd", {"critic.norm": "layer"}, True),
        ("aikd", {"critic.input": "probabilities", "critic.norm": "layer"}, False),
        ("aikd", {"omega": 0}, False),
        ("pskd", {}, False),
    ],
)
def test_where_a_critic_reads_raw_logits_it_is_said_what_is_known_of_that(
    method: str, settings: dict[str, Any], said: bool
) -> None:
    run = Run("cifar100", "preact_resnet18", method, settings, seed=0)
    assert len(readings([Run("cifar100", "preact_resnet18", "baseline", seed=0), run])) == said

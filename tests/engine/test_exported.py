"""Exported students: they see an image file exactly as evaluation saw it, and refuse what is not theirs."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.special import softmax
from torchvision.transforms import v2

from aikd.calibration import fit_temperature
from aikd.engine import exporting
from aikd.engine.exported import FACTS, load
from aikd.engine.exporting import fitted_on, temperature
from aikd.engine.sources.layouts import LAYOUTS
from aikd.errors import UserError
from aikd.files import write_json
from aikd.models import build
from tests.engine.exports import KINDS, Trained, photograph, study_of, trained


@pytest.fixture(autouse=True)
def _on_the_cpu(on_the_cpu: None) -> None:
    pass


@pytest.fixture(scope="session", params=KINDS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run of each kind of data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        return trained(tmp_path_factory.mktemp(request.param), request.param)


def test_image_files_get_the_logits_of_evaluation(finished: Trained, tmp_path: Path) -> None:
    finished.export(tmp_path / "export")
    wanted = finished.logits()
    found = load(tmp_path / "export").logits(finished.files)
    assert found.shape == wanted.shape
    assert np.ptp(wanted, axis=0).min() > 0.01  # so that images are told apart
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_one_image_at_a_time_is_the_same_as_many(finished: Trained, tmp_path: Path) -> None:
    model = finished.export(tmp_path / "export")
    together = model.logits(finished.files[:3])
    alone = np.concatenate([model.logits([file]) for file in finished.files[:3]])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-5 * np.abs(together).max())


def test_the_published_transform_and_a_bare_network_say_the_same(folder: Path, tmp_path: Path) -> None:
    """torchvision's test transform of the fine-grained sets, and the weights in a network without any of ours."""
    image = photograph(np.random.default_rng(1), 700, 420)
    image.save(tmp_path / "image.png")
    transform = v2.Compose(
        [
            v2.Resize(256),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    network = build({"architecture": "resnet18", "width": 4, "blocks": [1, 1, 1, 1]}, 2)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    with torch.inference_mode():
        wanted = network.eval()(transform(image)[None]).numpy()
    found = load(folder).logits([tmp_path / "image.png"])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_probabilities_are_those_of_the_scaled_logits(photographs: Trained, folder: Path) -> None:
    model = load(folder)
    scores = json.loads((photographs.results / "runs" / photographs.run / "metrics.json").read_text())
    fitted = scores["temperatures"]["holdout"]
    wanted = softmax(photographs.logits()[0].astype(float) / fitted)
    guesses = model.classify(photographs.files[0])
    assert [guess.label for guess in guesses] == np.argsort(-wanted).tolist()
    assert [guess.name for guess in guesses] == [["a cat", "dog"][i] for i in np.argsort(-wanted)]
    np.testing.assert_allclose([guess.probability for guess in guesses], np.sort(wanted)[::-1], rtol=1e-4)


def test_an_export_says_what_it_is(photographs: Trained, folder: Path) -> None:
    facts = json.loads((folder / FACTS).read_text())
    assert facts["run"] == photographs.run
    assert facts["class_names"] == ["a cat", "dog"]
    assert facts["temperature"]["scheme"] == "holdout"
    sight = {"cut_bottom": 0, "short_side": 256, "resize": 256, "rounded": True, "size": 224}
    assert facts["transform"].items() >= sight.items()
    assert facts["metrics"]["images"] == 14
    trained_as = json.loads((photographs.results / "runs" / photographs.run / "train.json").read_text())
    assert facts["weights"] == trained_as["model"]
    assert facts["provenance"]["settings"] == trained_as["settings"]
    assert facts["provenance"]["data"] == trained_as["data"]
    card = (folder / "README.md").read_text()
    recipe = ("| epochs | 1 |", "| learning rate | 0.05 |", "| batch size | 64 |")
    for words in ("2: a cat, dog", facts["weights"], "held out", "`photographs/net/baseline/seed0`", *recipe):
        assert words in card
    assert f"{facts['metrics']['top1_error']:.4g}" in card
    assert str(photographs.root) not in "".join(
        path.read_text() for path in folder.iterdir() if path.suffix in (".md", ".json")
    )


def test_small_images_of_one_size_bring_others_to_it(tmp_path: Path) -> None:
    made = trained(tmp_path, "small")
    model = made.export(tmp_path / "export")
    assert model.facts.transform.resize == 32
    image = photograph(np.random.default_rng(2), 320, 320)
    image.save(tmp_path / "large.png")
    image.resize((32, 32), Image.Resampling.BILINEAR).save(tmp_path / "small.png")
    large, small = model.logits([tmp_path / "large.png", tmp_path / "small.png"])
    np.testing.assert_allclose(large, small, atol=0.02 * np.abs(small).max())


# Which temperature


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (None, (1.5, "holdout")),
        ("oracle", (2.0, "oracle")),
        ("crossfit", (3.0, "crossfit")),
        ("none", (1.0, "none")),
    ],
)
def test_the_temperature_is_the_one_asked_for(scheme: str | None, expected: tuple[float, str]) -> None:
    fitted = {"temperatures": {"crossfit": [2.0, 4.0], "oracle": 2.0, "holdout": 1.5}}
    found = temperature(fitted, scheme)
    assert (found.value, found.scheme) == expected


def test_without_a_hold_out_the_whole_evaluation_set_gives_the_temperature() -> None:
    fitted = {"temperatures": {"crossfit": [2.0, 4.0], "oracle": 2.0}}
    assert temperature(fitted, None).scheme == "oracle"
    with pytest.raises(UserError, match="allowed: crossfit, oracle, none"):
        temperature(fitted, "holdout")


def off(images: int, times: int) -> float:
    """Root mean square of log T/1.5 as fitted on images of 10 classes, of which 4 % are wrong; the true T is 1.5."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(times):
        logits = 2 * rng.normal(size=(images, 10))
        logits[np.arange(images), rng.integers(0, 10, images)] += 2 * rng.gamma(2, 6, images)
        labels = (softmax(logits, axis=1).cumsum(1) < rng.random((images, 1))).sum(1)
        found.append(np.log(fit_temperature(1.5 * logits, labels) / 1.5))
    return float(np.sqrt(np.mean(np.square(found))))


def test_a_temperature_of_fewer_images_than_500_is_easily_off_by_a_tenth() -> None:
    assert off(exporting.FEW // 5, 40) > 0.3
    assert 0.1 < off(exporting.FEW, 40) < 0.2
    assert off(10 * exporting.FEW, 20) < 0.05


@pytest.mark.parametrize(
    ("scheme", "images"), [("none", 0), ("holdout", 2 * 2), ("oracle", 14), ("crossfit", 14)]
)
def test_how_many_images_a_temperature_was_fitted_on(folder: Path, scheme: str, images: int) -> None:
    facts = load(folder).facts
    chosen = facts.temperature.model_copy(update={"scheme": scheme})
    assert fitted_on(facts.model_copy(update={"temperature": chosen})) == images


@pytest.mark.parametrize("end", [0.01, 100.0])
def test_an_end_of_the_range_is_no_temperature(end: float) -> None:
    found = temperature({"temperatures": {"crossfit": [1.0, end], "oracle": end}}, None)
    assert (found.value, found.scheme) == (1.0, "none")
    assert temperature({"temperatures": {"crossfit": [1.0, end], "oracle": 1.0}}, "crossfit").scheme == "none"


# Whole or not there


def test_nothing_that_is_there_is_overwritten(photographs: Trained, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        photographs.export(target)
    assert [path.name for path in target.iterdir()] == ["mine"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        photographs.export(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    photographs.export(tmp_path / "empty")
    assert (tmp_path / "empty" / FACTS).exists()


def test_an_export_that_fails_half_way_leaves_nothing(
    photographs: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "model_card", fail)
    with pytest.raises(OSError, match="no room, the disk is full") as error:
        photographs.export(tmp_path / "target")
    assert error.value.filename == str(tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_metrics_is_not_exported(photographs: Trained, tmp_path: Path) -> None:
    results = Path(shutil.copytree(photographs.results, tmp_path / "results"))
    (results / "runs" / photographs.run / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"metrics\.json: no such file; predict and calibrate"):
        exporting.export(photographs.study, photographs.run, results, photographs.data, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_damaged_weights_are_not_exported(photographs: Trained, tmp_path: Path) -> None:
    results = Path(shutil.copytree(photographs.results, tmp_path / "results"))
    path = results / "runs" / photographs.run / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="found SHA-256"):
        exporting.export(photographs.study, photographs.run, results, photographs.data, tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("data", "recipe", "change"),
    [
        ({"stored_side": 300}, {}, r"data\.prepared was 'photographs/\w+', now it is 'photographs/\w+'"),
        ({}, {"learning_rate": 0.04}, r"recipe\.learning_rate was 0\.05, now it is 0\.04"),
    ],
)
def test_a_run_that_is_not_as_the_study_says_is_refused(
    photographs: Trained, tmp_path: Path, data: dict[str, Any], recipe: dict[str, Any], change: str
) -> None:
    other = study_of("photographs", photographs.root / "images", holdout_per_class=2, **data)
    edited = other.model_copy(update={"recipe": other.recipe.model_copy(update=recipe)})
    words = rf"{photographs.run}/train\.json: not trained as the study says: {change}; train the run again, or name"
    with pytest.raises(UserError, match=words):
        exporting.export(edited, photographs.run, photographs.results, photographs.data, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_what_preparation_cuts_off_is_cut_off(folder: Path, copied: Path, tmp_path: Path) -> None:
    """FGVC-Aircraft's photographs end in 20 rows with a name."""
    assert LAYOUTS["fgvc_aircraft"].cut_bottom == 20
    facts = json.loads((copied / FACTS).read_text())
    facts["transform"]["cut_bottom"] = 20
    write_json(copied / FACTS, facts)
    image = photograph(np.random.default_rng(3), 400, 320)
    image.save(tmp_path / "whole.png")
    image.crop((0, 0, 400, 300)).save(tmp_path / "cut.png")
    wanted = load(folder).logits([tmp_path / "cut.png"])
    np.testing.assert_array_equal(load(copied).logits([tmp_path / "whole.png"]), wanted)


# What is refused when it is loaded


def test_weights_of_another_export_are_refused(copied: Path) -> None:
    content = bytearray((copied / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: found SHA-256"):
        load(copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: no such file"):
        load(copied)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format is 2, this version reads 1"),
        ({"extra": 1}, "extra: unknown key"),
        ({"class_names": ["one"]}, "class_names: found"),
        ({"temperature": {"value": 0, "scheme": "oracle"}}, "temperature.value: found 0"),
        ({"model": {"architecture": "vgg"}}, "architecture: found 'vgg'"),
        ({"class_names": ["a", "b", "c"]}, "not the weights that export.json describes"),
    ],
)
def test_facts_that_are_not_allowed_are_refused(copied: Path, change: dict[str, object], words: str) -> None:
    facts = json.loads((copied / FACTS).read_text())
    write_json(copied / FACTS, facts | change)
    with pytest.raises(UserError, match=words):
        load(copied)


def test_a_folder_without_an_export_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no exported model, as export\.json is missing"):
        load(tmp_path)

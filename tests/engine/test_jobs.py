"""Training and predicting one run: what stands in its folder afterwards, and what is refused."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import nn

from aikd.engine import jobs
from aikd.engine.adoption import LEFT_BEHIND, TRAINED
from aikd.engine.evaluation import evaluate
from aikd.engine.models import load_superior
from aikd.engine.store import Prepared, write_prepared
from aikd.engine.training import Trainer
from aikd.errors import UserError
from aikd.models import build
from aikd.records import content_digest, file_digest
from tests.conftest import DIGITS

Make = Callable[..., dict[str, Any]]
DATA = {"data": {"images_per_class": 40, "holdout_per_class": 3}}
BASELINE, AIKD = "digits/net/baseline/seed0", "digits/net/aikd/seed0"
FILES = {"model.safetensors", "history.csv", "train.json"}


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, data: Path, make_settings: Make) -> Path:
    """Results with a Baseline run and the AI-KD run that builds on it, trained and predicted."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        for method in ("baseline", "aikd"):
            settings = make_settings(method, **DATA)
            jobs.train(settings, folder, data, evaluate_every=1)
            assert {f.name for f in folder_of(folder, settings).iterdir()} == {*FILES, LEFT_BEHIND, TRAINED}
            jobs.predict(settings["run"], folder, data)
    return folder


@pytest.fixture
def copied(results: Path, tmp_path: Path) -> Path:
    """The same results, to damage."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def folder_of(results: Path, settings: dict[str, Any]) -> Path:
    return folder(results, settings["run"])


def folder(results: Path, run: str) -> Path:
    return results / "runs" / run


def history(results: Path, run: str) -> list[dict[str, str]]:
    with (folder(results, run) / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary(results: Path, run: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder(results, run) / "train.json").read_text(encoding="utf-8"))
    return read


def network(results: Path, run: str, settings: dict[str, Any]) -> nn.Module:
    model = build(settings["model"], 10)
    weights = load_file(folder(results, run) / "model.safetensors")
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()


def test_images(digits: Prepared) -> torch.Tensor:
    """The test set as the network sees it: no crop on 8 × 8 images, only normalised."""
    pixels = np.array(digits.images("test")) / 255
    mean, std = (np.array(digits.manifest[key])[:, None, None] for key in ("mean", "std"))
    return torch.from_numpy((pixels - mean) / std).float()


test_images.__test__ = False  # type: ignore[attr-defined]


def test_a_trained_run_is_three_files_and_no_leftovers(results: Path) -> None:
    for run in (BASELINE, AIKD):
        assert {file.name for file in folder(results, run).iterdir()} == FILES | {"predictions.safetensors"}


AIKD_TERMS = (
    "ce previous guide critic_loss distance gradient_norm adversarial adversarial_cosine adversarial_share "
    "logit_mean logit_norm superior_logit_mean superior_logit_norm"
)


@pytest.mark.parametrize(("run", "terms"), [(BASELINE, ["ce"]), (AIKD, AIKD_TERMS.split())])
def test_history_has_a_row_an_epoch_and_a_column_a_term(results: Path, run: str, terms: list[str]) -> None:
    rows = history(results, run)
    assert list(rows[0]) == [
        *("epoch", "learning_rate", "loss"),
        *terms,
        *("train_error", "test_error", "seconds", "images_per_second"),
    ]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.1, 0.01])
    assert all(np.isfinite(float(value)) for row in rows for value in row.values())
    assert all(0 <= float(row[key]) <= 100 for row in rows for key in ("train_error", "test_error"))


def test_history_of_aikd_adds_up_to_eq_8(results: Path) -> None:
    for row in history(results, AIKD):
        t = {key: float(value) for key, value in row.items()}
        total = 0.6 * t["ce"] + 0.3 * t["previous"] + 0.1 * t["guide"] + 0.1 * t["adversarial"]
        assert t["loss"] == pytest.approx(total, rel=1e-4)
    first, second = history(results, AIKD)
    assert first["previous"] == first["ce"]
    assert float(second["previous"]) < float(second["ce"]) / 2  # by then it is the divergence from S_{t-1}


def test_summary_says_what_was_trained_and_where_it_comes_from(
    results: Path, digits: Prepared, make_settings: Make
) -> None:
    found, rows = summary(results, AIKD), history(results, AIKD)
    settings = make_settings("aikd", **DATA)
    assert found["run"] == AIKD
    assert found["settings"] == settings
    assert found["model"] == file_digest(folder(results, AIKD) / "model.safetensors")
    assert found["superior"] == file_digest(folder(results, BASELINE) / "model.safetensors")
    assert found["data"] == digits.digest
    assert (found["epochs"], found["images"], found["precision"]) == (2, 400, "fp32")
    assert found["parameters"] == sum(p.numel() for p in build(settings["model"], 10).parameters())
    assert found["final"]["test_error"] == float(rows[-1]["test_error"])
    assert found["final"]["train_error"] == float(rows[-1]["train_error"])
    assert found["device"] == "cpu, 1 threads"
    assert found["threads"] == 1
    assert found["seconds"] >= sum(float(row["seconds"]) for row in rows)
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert set(found["versions"]) == {"python", "aikd", "torch", "torchvision", "numpy"}
    assert "revision" in found
    # torch alone takes more than 100 MB, and no test machine has a TB.
    assert 100 < found["peak_memory"]["host_mb"] < 1e6
    assert found["peak_memory"]["device_mb"] is None


def test_summary_names_the_best_epoch_beside_the_last(
    data: Path, tmp_path: Path, make_settings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([50.0, 30.0, 40.0])
    monkeypatch.setattr(Trainer, "test_error", lambda trainer: next(errors))
    jobs.train(make_settings(epochs=3, **DATA), tmp_path, data, evaluate_every=1)
    found = summary(tmp_path, BASELINE)
    assert found["best"] == {"epoch": 2, "test_error": 30.0}
    assert found["final"]["test_error"] == 40.0


def test_the_model_on_disk_makes_the_error_in_the_log(
    results: Path, digits: Prepared, make_settings: Make
) -> None:
    for method, run in (("baseline", BASELINE), ("aikd", AIKD)):
        with torch.no_grad():
            predicted = network(results, run, make_settings(method))(test_images(digits)).argmax(1).numpy()
        error = 100 * np.mean(predicted != digits.labels("test"))
        assert float(history(results, run)[-1]["test_error"]) == pytest.approx(error)


def test_predictions_are_a_direct_forward(results: Path, digits: Prepared, make_settings: Make) -> None:
    tensors = load_file(folder(results, AIKD) / "predictions.safetensors")
    model = network(results, AIKD, make_settings("aikd"))
    with torch.no_grad():
        logits = model(test_images(digits))
    assert {name: (t.dtype.name, t.shape) for name, t in tensors.items()} == {
        "logits": ("float32", (896, 10)),
        "features": ("float16", (896, 32)),
        "labels": ("int64", (896,)),
        "holdout_logits": ("float32", (30, 10)),
        "holdout_labels": ("int64", (30,)),
    }
    np.testing.assert_allclose(tensors["logits"], logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(tensors["labels"], digits.labels("test"))
    # The features are what the last layer makes the logits of.
    weight, bias = (p.detach().numpy() for p in model.fc.parameters())  # type: ignore[union-attr]
    np.testing.assert_allclose(
        tensors["features"].astype(np.float32) @ weight.T + bias, tensors["logits"], atol=0.02
    )
    assert np.bincount(tensors["holdout_labels"]).tolist() == [3] * 10
    with safe_open(folder(results, AIKD) / "predictions.safetensors", framework="np") as file:
        model = hashlib.sha256((folder(results, AIKD) / "model.safetensors").read_bytes()).hexdigest()
        assert file.metadata() == {
            "run": AIKD,
            "dataset": "digits",
            "model": model,
            "data": digits.digest,
            "content": content_digest(tensors),
        }


def test_held_out_images_are_training_images_that_were_not_trained_on(
    results: Path, digits: Prepared
) -> None:
    """Their logits are those of three training images a class, no test images."""
    held = load_file(folder(results, BASELINE) / "predictions.safetensors")["holdout_labels"]
    other = load_file(folder(results, AIKD) / "predictions.safetensors")["holdout_labels"]
    np.testing.assert_array_equal(held, other)
    assert summary(results, BASELINE)["images"] == 400


def test_superior_model_is_the_baseline_run(results: Path, digits: Prepared, make_settings: Make) -> None:
    settings = make_settings("aikd", **DATA)
    assert settings["superior"] == BASELINE
    superior = load_superior(results, settings, digits)
    expected = network(results, BASELINE, settings)
    with torch.no_grad():
        torch.testing.assert_close(superior.eval()(test_images(digits)), expected(test_images(digits)))


def test_training_again_writes_the_same_model(
    results: Path, data: Path, tmp_path: Path, make_settings: Make
) -> None:
    """Byte for byte, and whatever the number of looks at the test set and the name of the GPU."""
    shutil.copytree(folder(results, BASELINE), folder(tmp_path, BASELINE))
    jobs.train(make_settings("aikd", **DATA), tmp_path, data, evaluate_every=2, gpu="GPU-1")
    assert [summary(folder, AIKD)["gpu"] for folder in (tmp_path, results)] == ["GPU-1", None]
    path = Path("runs") / AIKD / "model.safetensors"
    assert (tmp_path / path).read_bytes() == (results / path).read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"seed": 1},
            "baseline/seed1: no trained run; digits/net/aikd/seed1 learns from it",
        ),
        ({"epochs": 3}, "must have recipe .*'epochs': 3"),
        (
            {"data": {"images_per_class": 41, "holdout_per_class": 3}},
            "must have data .*'images_per_class': 41",
        ),
        ({"data": DATA["data"] | {"transform": {"padding": 2}}}, "must have data .*'padding': 2"),
    ],
)
def test_superior_model_of_another_training_is_refused(
    results: Path, digits: Prepared, make_settings: Make, changed: dict[str, Any], message: str
) -> None:
    settings = make_settings("aikd", **(DATA | changed))
    with pytest.raises(UserError, match=message):
        load_superior(results, settings, digits)


def test_superior_model_of_another_size_is_refused(
    results: Path, digits: Prepared, make_settings: Make
) -> None:
    settings = make_settings("aikd", **DATA)
    wider = settings | {"model": settings["model"] | {"width": 8}}
    with pytest.raises(UserError, match=r"must have model .*'width': 8.* trained with .*'width': 4"):
        load_superior(results, wider, digits)


def test_another_run_in_place_of_the_superior_is_refused(
    copied: Path, digits: Prepared, make_settings: Make
) -> None:
    shutil.copy(folder(copied, AIKD) / "train.json", folder(copied, BASELINE))
    with pytest.raises(UserError, match=rf"{BASELINE}/train\.json: is of the run {AIKD}, not of {BASELINE}"):
        load_superior(copied, make_settings("aikd", **DATA), digits)


def test_missing_superior_is_named(data: Path, tmp_path: Path, make_settings: Make) -> None:
    with pytest.raises(
        UserError, match=rf"{BASELINE}: no trained run; {AIKD} learns from it, so train it first"
    ):
        jobs.train(make_settings("aikd", **DATA), tmp_path, data, 1)


def test_superior_model_of_another_recipe_version_is_refused(
    copied: Path, data: Path, make_settings: Make
) -> None:
    path = folder(copied, BASELINE) / "train.json"
    path.write_text(path.read_text().replace('"recipe_version": 1', '"recipe_version": 0'))
    with pytest.raises(UserError, match="must have recipe_version 1, this one was trained with 0"):
        jobs.train(make_settings("aikd", **DATA), copied, data, 1)


def test_settings_of_another_version_are_refused(data: Path, tmp_path: Path, make_settings: Make) -> None:
    for settings in (make_settings() | {"recipe_version": 99}, {}):
        with pytest.raises(UserError, match=r"recipe_version is .*this version trains 1"):
            jobs.train(settings, tmp_path, data, 1)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 10)


def remove(path: Path) -> None:
    path.unlink()


DAMAGE = pytest.mark.parametrize("damage", [truncate, cut_header, empty, scribble, remove])


@DAMAGE
def test_damaged_model_is_named(copied: Path, data: Path, damage: Callable[[Path], None]) -> None:
    damage(folder(copied, AIKD) / "model.safetensors")
    with pytest.raises(UserError, match=rf"{AIKD}/model\.safetensors: .*train"):
        jobs.predict(AIKD, copied, data)


def test_weights_of_another_network_are_refused(copied: Path, data: Path) -> None:
    path = folder(copied, AIKD) / "train.json"
    path.write_text(path.read_text().replace('"width": 4', '"width": 5'))
    with pytest.raises(
        UserError, match=rf"{AIKD}/model\.safetensors: not the weights of {AIKD} \(.*size mismatch"
    ):
        jobs.predict(AIKD, copied, data)


@DAMAGE
def test_damaged_predictions_are_named(copied: Path, damage: Callable[[Path], None]) -> None:
    damage(folder(copied, AIKD) / "predictions.safetensors")
    with pytest.raises(UserError, match=rf"{AIKD}/predictions\.safetensors: .*predict the run"):
        evaluate(AIKD, copied, 15, 5)


def test_predictions_of_another_kind_are_refused(copied: Path) -> None:
    folder(copied, AIKD).joinpath("model.safetensors").replace(
        folder(copied, AIKD) / "predictions.safetensors"
    )
    with pytest.raises(UserError, match=r"predictions\.safetensors: lacks features, labels, logits"):
        evaluate(AIKD, copied, 15, 5)


def test_predictions_of_another_run_are_refused(copied: Path) -> None:
    shutil.copy(folder(copied, BASELINE) / "predictions.safetensors", folder(copied, AIKD))
    with pytest.raises(
        UserError, match=rf"{AIKD}/predictions\.safetensors: holds the predictions of {BASELINE}"
    ):
        evaluate(AIKD, copied, 15, 5)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": 3}'])
def test_damaged_summary_is_named(copied: Path, data: Path, text: str) -> None:
    (folder(copied, AIKD) / "train.json").write_text(text)
    with pytest.raises(UserError, match=rf"{AIKD}/train\.json: "):
        jobs.predict(AIKD, copied, data)


def test_metrics_of_a_run_are_those_of_its_predictions(copied: Path) -> None:
    evaluate(AIKD, copied, 15, 5)
    metrics = json.loads((folder(copied, AIKD) / "metrics.json").read_text())
    tensors = load_file(folder(copied, AIKD) / "predictions.safetensors")
    wrong = np.mean(tensors["logits"].argmax(1) != tensors["labels"])
    assert (metrics["run"], metrics["dataset"], metrics["images"]) == (AIKD, "digits", 896)
    assert metrics["metrics"]["top1_error"] == pytest.approx(100 * wrong)
    assert {"crossfit", "oracle", "holdout"} <= metrics["temperatures"].keys()
    assert metrics["metrics"]["top1_error"] == pytest.approx(float(history(copied, AIKD)[-1]["test_error"]))


def test_data_of_another_name_or_with_other_classes_are_refused(
    results: Path, data: Path, tmp_path: Path, make_settings: Make
) -> None:
    images, labels = np.zeros((4, 3, 8, 8), np.uint8), np.arange(4)
    splits: Any = {"train": (images, labels), "test": (images, labels)}
    write_prepared(tmp_path / DIGITS, "letters", list("abcd"), splits, {})
    with pytest.raises(UserError, match=rf"manifest\.json: name is 'letters', but {AIKD} needs 'digits'"):
        jobs.predict(AIKD, results, tmp_path)
    write_prepared(tmp_path / DIGITS, "digits", list("abcd"), splits, {})
    with pytest.raises(UserError, match=rf"manifest\.json: classes is 4, but {BASELINE} needs 10"):
        jobs.train(make_settings(), tmp_path, tmp_path, 1)


def test_missing_data_are_named(tmp_path: Path, make_settings: Make) -> None:
    with pytest.raises(UserError, match=r"digits/\w{12}/manifest\.json: no such file; `aikd prepare digits`"):
        jobs.train(make_settings(), tmp_path, tmp_path, 1)


def test_a_run_that_fails_leaves_no_files(data: Path, tmp_path: Path, make_settings: Make) -> None:
    with pytest.raises(UserError, match="in epoch 1, step"):
        jobs.train(make_settings(learning_rate=1e30), tmp_path, data, 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

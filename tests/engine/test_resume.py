"""An interrupted run ends as if nothing had happened: the same weights, predictions and history, to the bit."""

import csv
import errno
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aikd.cli import main
from aikd.engine import attempt, jobs
from aikd.engine.adoption import LEFT_BEHIND, TRAINED
from aikd.engine.signals import heeding
from aikd.engine.state import Snapshot, States
from aikd.engine.store import write_prepared
from aikd.engine.training import Row, Trainer
from aikd.errors import Interrupted, UserError
from aikd.records import file_digest
from tests.conftest import DIGITS
from tests.engine.resuming import (
    EPOCHS,
    METHODS,
    RECIPE,
    Make,
    interrupt,
    same_results,
    stop_after,
    summary,
    timeless,
    trainer,
)

pytestmark = pytest.mark.usefixtures("on_the_cpu")

# The trainer


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(("method", "settings"), METHODS, ids=str)
def test_a_restored_trainer_goes_on_to_the_bit(
    tiny: Path, make_settings: Make, tmp_path: Path, method: str, settings: dict[str, Any], precision: str
) -> None:
    chosen = make_settings(method, settings, **RECIPE | {"epochs": 4, "precision": precision})
    whole, taken = trainer(chosen, tiny), list[Snapshot]()
    rows = whole.run(lambda row: taken.append(Snapshot.of(whole.state())))
    for epoch in (1, 3):
        taken[epoch - 1].save(tmp_path / "state.safetensors")
        torch.manual_seed(epoch)
        resumed, seen = trainer(chosen, tiny), list[Row]()
        resumed.restore(Snapshot.load(tmp_path / "state.safetensors").tree())
        assert timeless(resumed.run(seen.append)) == timeless(rows)
        assert [row["epoch"] for row in seen] == list(range(epoch + 1, 5))
        # The whole state, momentum and critic included, not the weights alone.
        found, expected = (Snapshot.of(t.state() | {"history": []}) for t in (resumed, whole))
        assert found.digest() == expected.digest()


def test_momentum_is_laid_out_like_its_parameters(tiny: Path, make_settings: Make) -> None:
    """Fused kernels read memory in order: in another layout they would mix up the channels."""
    chosen = make_settings(**RECIPE | {"epochs": 1, "milestones": []}, channels_last=True)
    whole, resumed = trainer(chosen, tiny), trainer(chosen, tiny)
    whole.run(lambda row: None)
    resumed.restore(Snapshot.of(whole.state()).tree())
    strides = [
        [(p.stride(), t.optimiser.state[p]["momentum_buffer"].stride()) for p in t.student.parameters()]
        for t in (whole, resumed)
    ]
    assert strides[0] == strides[1]
    assert all(parameter == momentum for parameter, momentum in strides[1])
    assert any(momentum != torch.empty(4, 4, 3, 3).stride() for _, momentum in strides[1])


@pytest.mark.parametrize("model", ["net", "densenet121"])
@pytest.mark.parametrize(("method", "settings"), METHODS, ids=str)
def test_an_epoch_draws_from_no_global_generator(
    tiny: Path, make_settings: Make, method: str, settings: dict[str, Any], model: str
) -> None:
    chosen = make_settings(method, settings, augmentation="cutmix", **RECIPE)
    if model == "densenet121":
        chosen["model"] = {
            "architecture": "densenet121_3x3",
            "width": None,
            "growth": 4,
            "blocks": [1, 1, 1, 1],
        }
    run = trainer(chosen, tiny)
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes(), random.getstate()  # type: ignore[index]
    for epoch in range(2):
        run.epoch(epoch)
    after = torch.get_rng_state(), np.random.get_state()[1].tobytes(), random.getstate()  # type: ignore[index]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


# Runs, in this process


@pytest.mark.parametrize("epochs", [1, 4])
@pytest.mark.parametrize(("method", "settings"), METHODS, ids=str)
def test_a_run_stopped_by_a_signal_ends_as_if_it_had_not_been(
    results: Path, undisturbed: Path, tiny: Path, make_settings: Make, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], method: str, settings: dict[str, Any], epochs: int,
) -> None:  # fmt: skip
    chosen = make_settings(method, settings, seed=0, **RECIPE)
    folder = results / "runs" / chosen["run"]
    if method == "baseline":
        shutil.rmtree(folder)
    with monkeypatch.context() as patch:
        stop_after(patch, epochs)
        with pytest.raises(Interrupted) as end, heeding() as signals:
            jobs.train(chosen, results, tiny, 1, save_every=3, signals=signals)
    assert str(end.value) == (
        f"{chosen['run']}: interrupted after epoch {epochs} of {EPOCHS}; the next attempt continues from there"
    )
    assert States(folder).epochs() == ([4, 3] if epochs == 4 else [1])
    assert {path.name for path in folder.iterdir()} == {".state"}
    capsys.readouterr()
    jobs.train(chosen, results, tiny, 1, save_every=3)
    said = capsys.readouterr().err
    assert f"{chosen['run']}: continues after epoch {epochs} of {EPOCHS}\n" in said
    assert f"epoch {epochs}/" not in said
    same_results(folder, undisturbed / "runs" / chosen["run"])
    assert summary(folder)["resumed_at"] == [epochs]


def test_several_interruptions_add_up(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / baseline["run"]
    interrupt(baseline, tmp_path, tiny, 1)
    tree = Snapshot.load(States(folder).path(1)).tree()
    States(folder).save(1, Snapshot.of(tree | {"seconds": 1000.0}))
    for epochs in (3, 3, 5):
        interrupt(baseline, tmp_path, tiny, epochs)
    jobs.train(baseline, tmp_path, tiny, 1)
    same_results(folder, undisturbed / "runs" / baseline["run"])
    found = summary(folder)
    # The third attempt finished no epoch, so nothing of the run comes from it.
    assert found["resumed_at"] == [1, 3, 5]
    assert 1000 < found["seconds"] < 1100
    with (folder / "history.csv").open() as file:
        spent = sum(float(row["seconds"]) for row in csv.DictReader(file))
    assert found["images_per_second"] == pytest.approx(41 * EPOCHS / spent, rel=0.01)


def test_a_signal_in_the_first_epoch_saves_nothing(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any]
) -> None:
    said = interrupt(baseline, tmp_path, tiny, 0)
    assert said.endswith(f"interrupted after epoch 0 of {EPOCHS}; the next attempt starts anew")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_complete_training_without_results_is_only_written(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "write_history", full)
        with pytest.raises(OSError, match="No space left"):
            jobs.train(baseline, tmp_path, tiny, 1, save_every=4)
    folder = tmp_path / "runs" / baseline["run"]
    assert States(folder).epochs() == [6, 4]
    (folder / ".model.4242.safetensors").touch()
    monkeypatch.setattr(Trainer, "epoch", lambda *_: pytest.fail("trained"))
    jobs.train(baseline, tmp_path, tiny, 1)
    same_results(folder, undisturbed / "runs" / baseline["run"])


@pytest.mark.parametrize("save_every", [2, 100])
@pytest.mark.parametrize("lost", [("model.safetensors", "history.csv", "train.json"), ("train.json",)])
def test_lost_results_of_a_finished_run_are_written_again_without_training(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    lost: tuple[str, ...], save_every: int,
) -> None:  # fmt: skip
    """As often as they are lost: Snakemake deletes all outputs of a job whose own process died."""
    folder = tmp_path / "runs" / baseline["run"]
    jobs.train(baseline, tmp_path, tiny, 1, save_every)
    assert [path.name for path in (folder / TRAINED).iterdir()] == ["epoch-0006.safetensors"]
    first = summary(folder)
    monkeypatch.setattr(Trainer, "epoch", lambda *_: pytest.fail("trained"))
    for _ in range(2):
        for name in lost:
            (folder / name).unlink()
        jobs.train(baseline, tmp_path, tiny, 1, save_every)
        same_results(folder, undisturbed / "runs" / baseline["run"])
        assert summary(folder)["resumed_at"] == [EPOCHS]
        assert summary(folder)["seconds"] > 0.5 * first["seconds"]


@pytest.mark.parametrize("adopted", [True, False])
def test_a_run_that_was_predicted_with_is_really_trained_again(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], adopted: bool
) -> None:
    folder = tmp_path / "runs" / baseline["run"]
    jobs.train(baseline, tmp_path, tiny, 1)
    if not adopted:
        (folder / LEFT_BEHIND).unlink()
    places = ["--results", str(tmp_path), "--data", str(tiny)]
    assert main(["predict", baseline["run"], *places]) == 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    (folder / "predictions.safetensors").unlink()
    jobs.train(baseline, tmp_path, tiny, 1)
    assert summary(folder)["resumed_at"] == []
    same_results(folder, undisturbed / "runs" / baseline["run"])


def test_predicting_with_an_old_model_costs_no_training_that_is_interrupted(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any], make_settings: Make
) -> None:
    jobs.train(baseline, tmp_path, tiny, 1)
    interrupt(make_settings(**RECIPE | {"learning_rate": 0.02}), tmp_path, tiny, 3)
    places = ["--results", str(tmp_path), "--data", str(tiny)]
    assert main(["predict", baseline["run"], *places]) == 0
    assert States(tmp_path / "runs" / baseline["run"]).epochs() == [3, 2]


def test_a_finished_run_of_other_settings_is_no_excuse_for_not_training(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], make_settings: Make,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    jobs.train(make_settings(**RECIPE | {"learning_rate": 0.02}), tmp_path, tiny, 1)
    jobs.train(baseline, tmp_path, tiny, 1)
    assert "another training: settings.recipe.learning_rate was 0.02, now" in capsys.readouterr().err
    same_results(tmp_path / "runs" / baseline["run"], undisturbed / "runs" / baseline["run"])


def test_the_peak_of_memory_is_that_of_all_attempts(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(attempt, "peak_memory", lambda device: {"host_mb": 9_000_000, "device_mb": 7})
        interrupt(baseline, tmp_path, tiny, 3)
    monkeypatch.setattr(attempt, "peak_memory", lambda device: {"host_mb": 1, "device_mb": 8})
    jobs.train(baseline, tmp_path, tiny, 1)
    assert summary(tmp_path / "runs" / baseline["run"])["peak_memory"] == {
        "host_mb": 9_000_000, "device_mb": 8,
    }  # fmt: skip


def test_a_damaged_state_costs_only_the_epochs_since_the_one_before(
    tmp_path: Path,
    undisturbed: Path,
    tiny: Path,
    baseline: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "runs" / baseline["run"]
    interrupt(baseline, tmp_path, tiny, 5)
    path = States(folder).path(5)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    jobs.train(baseline, tmp_path, tiny, 1)
    said = capsys.readouterr().err
    assert f"{path}: damaged (its content is not what was written), so it is removed\n" in said
    assert "continues after epoch 4 of 6" in said
    same_results(folder, undisturbed / "runs" / baseline["run"])


def test_without_a_good_state_training_starts_anew(
    tmp_path: Path,
    undisturbed: Path,
    tiny: Path,
    baseline: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "runs" / baseline["run"]
    interrupt(baseline, tmp_path, tiny, 4)
    for epoch in (2, 4):
        os.truncate(States(folder).path(epoch), 1000)
    jobs.train(baseline, tmp_path, tiny, 1)
    assert "no state is left to resume from; training starts from epoch 1\n" in capsys.readouterr().err
    same_results(folder, undisturbed / "runs" / baseline["run"])
    assert summary(folder)["resumed_at"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.02}, "settings.recipe.learning_rate was 0.02, now it is 0.01"),
        ({"epochs": 7}, "settings.recipe.epochs was 7, now it is 6"),
        ({"data": {"transform": {"flip": True}}}, "settings.data.transform.flip was True, now it is False"),
    ],
)
def test_a_state_of_other_settings_is_left_aside_by_name(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], make_settings: Make,
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str,
) -> None:  # fmt: skip
    interrupt(make_settings(**RECIPE | changes), tmp_path, tiny, 4)
    jobs.train(baseline, tmp_path, tiny, 1)
    said = capsys.readouterr().err
    assert f"the state after epoch 4 is of another training: {words}; it is left aside and removed" in said
    same_results(tmp_path / "runs" / baseline["run"], undisturbed / "runs" / baseline["run"])


def test_a_state_of_another_recipe_version_is_left_aside(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    interrupt(baseline, tmp_path, tiny, 1)
    monkeypatch.setattr(jobs, "RECIPE_VERSION", 2)
    jobs.train(baseline | {"recipe_version": 2}, tmp_path, tiny, 1)
    assert "settings.recipe_version was 1, now it is 2" in capsys.readouterr().err


def test_a_state_of_other_data_or_another_superior_is_left_aside(
    results: Path, tiny: Path, tmp_path: Path, make_settings: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = make_settings("tfkd", **RECIPE)
    interrupt(chosen, results, tiny, 1)
    images, labels = np.zeros((50, 3, 8, 8), np.uint8), np.arange(50) % 10
    images[::2] = 255
    splits: Any = {"train": (images[:41], labels[:41]), "test": (images[41:], labels[41:])}
    write_prepared(tmp_path / "other" / DIGITS, "digits", [str(digit) for digit in range(10)], splits, {})
    with pytest.raises(UserError, match=r"manifest\.json: found data .*baseline/seed0 was trained on"):
        jobs.train(chosen, results, tmp_path / "other", 1)
    jobs.train(make_settings(**RECIPE), results, tmp_path / "other", 1)
    assert interrupt(chosen, results, tmp_path / "other", 1)
    assert "another training: inputs.data was " in capsys.readouterr().err
    path = results / "runs/digits/net/baseline/seed0/model.safetensors"
    before = file_digest(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    note = path.with_name("train.json")
    note.write_text(note.read_text().replace(before, file_digest(path)))
    jobs.train(chosen, results, tmp_path / "other", 1)
    assert "another training: inputs.superior was " in capsys.readouterr().err


def test_a_state_that_does_not_fit_the_network_is_named(
    tmp_path: Path, tiny: Path, baseline: dict[str, Any]
) -> None:
    interrupt(baseline, tmp_path, tiny, 1)
    states = States(tmp_path / "runs" / baseline["run"])
    tree = Snapshot.load(states.path(1)).tree()
    tree["trainer"]["student"]["conv1.weight"] = torch.zeros(3)
    states.save(1, Snapshot.of(tree))
    with pytest.raises(UserError, match=rf"epoch-0001\.safetensors: .*size mismatch.*remove {states.folder}"):
        jobs.train(baseline, tmp_path, tiny, 1)


def test_a_full_disk_stops_no_training(
    tmp_path: Path, undisturbed: Path, tiny: Path, baseline: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    interrupt(baseline, tmp_path, tiny, 1)
    folder = tmp_path / "runs" / baseline["run"]
    with monkeypatch.context() as patch:
        patch.setattr(Snapshot, "save", full)
        said = interrupt(baseline, tmp_path, tiny, 3)
        assert said.endswith(
            "interrupted after epoch 3 of 6, whose state could not be saved ([Errno 28] No space left on device); "
            "the next attempt continues from epoch 1"
        )
        assert States(folder).epochs() == [1]
        jobs.train(baseline, tmp_path, tiny, 1, save_every=2)
    assert "the state after epoch 4 could not be saved ([Errno 28]" in capsys.readouterr().err
    same_results(folder, undisturbed / "runs" / baseline["run"])

"""TensorBoard's files say what the history says, each epoch once."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aikd.cli import main
from aikd.engine import jobs
from aikd.engine import tensorboard as own
from aikd.engine.tensorboard import Board
from aikd.engine.training import Trainer
from aikd.workflow import Workflow
from tests.conftest import DEMO, parsed
from tests.engine.resuming import EPOCHS, RECIPE, Make

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.usefixtures("on_the_cpu")
Scalars = dict[str, list[tuple[int, float]]]


def scalars(folder: Path) -> Scalars:
    """Every value in every file, duplicates included: TensorBoard itself would hide some."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: Scalars = {}
    for file in sorted(folder.glob("events.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.tensor.float_val[0]))
    return found


def history(results: Path, settings: dict[str, Any]) -> Any:
    """The same from `history.csv`."""
    with (results / "runs" / settings["run"] / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [(int(row["epoch"]), pytest.approx(float(row[name]), rel=1e-6)) for row in rows if row[name]]
        for name in rows[0]
        if name not in ("epoch", "seconds")
    }


@pytest.fixture
def train(results: Path, tiny: Path, make_settings: Make) -> Callable[..., dict[str, Any]]:
    def run(method: str = "aikd", evaluate_every: int = 2) -> dict[str, Any]:
        settings = make_settings(method, **RECIPE)
        jobs.train(settings, results, tiny, evaluate_every, save_every=2, tensorboard=True)
        return settings

    return run


def test_they_hold_the_history(results: Path, train: Callable[..., dict[str, Any]]) -> None:
    settings = train()
    found = scalars(results / "tensorboard" / settings["run"])
    assert found == history(results, settings)
    assert {"loss", "ce", "learning_rate", "train_error", "images_per_second"} <= found.keys()
    assert [epoch for epoch, _ in found["test_error"]] == [2, 4, 6]


def test_a_run_that_goes_on_has_no_epoch_twice(
    results: Path, train: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks off in the fourth epoch, and goes on after the second, so that the third is trained twice."""
    original = Trainer.epoch

    def breaks(self: Trainer, epoch: int, *arguments: Any) -> Any:
        if epoch == 3:
            raise RuntimeError
        return original(self, epoch, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", breaks)
        with pytest.raises(RuntimeError):
            train("pskd", 1)
    [folder] = (results / "tensorboard/digits/net/pskd").iterdir()
    assert [epoch for epoch, _ in scalars(folder)["loss"]] == [1, 2, 3]
    settings = train("pskd", 1)
    assert json.loads((results / "runs" / settings["run"] / "train.json").read_text())["resumed_at"] == [2]
    found = scalars(folder)
    assert [epoch for epoch, _ in found["loss"]] == list(range(1, EPOCHS + 1))
    assert found == history(results, settings)


def test_files_that_cannot_be_written_cost_no_training(
    results: Path, train: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "tensorboard").write_text("in the way")
    settings = train("baseline")
    assert (results / "runs" / settings["run"] / "train.json").exists()
    assert capsys.readouterr().err.count("TensorBoard's files cannot be written") == 1


def test_a_disk_that_is_full_half_way_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    rows = [{"epoch": n, "loss": 1.0, "seconds": 1.0, "test_error": None} for n in (1, 2, 3)]
    board = Board(tmp_path, rows[:1])

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    for row in rows[1:]:
        board.add(row)
    board.close()
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_without_the_package_one_message_comes_before_any_work(
    tmp_path: Path, make_settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(own, "find_spec", lambda name: None)
    command = [
        "train",
        "--settings",
        json.dumps(make_settings()),
        "--results",
        str(tmp_path),
        "--tensorboard",
    ]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("aikd train: tensorboard: true, but the package is not installed; `pip install")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("setting", "given"), [({}, False), ({"tensorboard": True}, True)])
def test_the_study_s_setting_reaches_training(setting: dict[str, Any], given: bool) -> None:
    options = Workflow(parsed(DEMO) | setting).train_options(None, 1)
    assert ("--tensorboard" in options) is given

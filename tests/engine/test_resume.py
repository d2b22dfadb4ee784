"""An interrupted run ends as if nothing had happened: the same weights, predictions and history, to the bit."""

import csv
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from aikd.engine import jobs
from aikd.engine.adoption import LEFT_BEHIND
from aikd.engine.attempt import Attempt
from aikd.engine.locks import exclusive
from aikd.engine.state import Snapshot, States
from aikd.engine.store import Prepared, write_prepared
from aikd.engine.training import Row, Trainer
from aikd.errors import Interrupted, UserError
from aikd.models import build

Make = Callable[..., dict[str, Any]]
EPOCHS = 6
RECIPE: dict[str, Any] = {"epochs": EPOCHS, "milestones": [2, 3], "batch_size": 8, "learning_rate": 0.01}
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("baseline", {}),
    ("cskd", {}),
    ("tfkd", {}),
    ("pskd", {}),
    ("aikd", {"previous": "snapshot"}),
    ("aikd", {"previous": "memory"}),
]
OUTPUTS = ("model.safetensors", LEFT_BEHIND)
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIKD_DEVICE", "cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of prepared data: 40 random images of 8 × 8."""
    folder, rng = tmp_path_factory.mktemp("tiny"), np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8), np.arange(50) % 10
    splits: Any = {"train": (images[:41], labels[:41]), "test": (images[41:], labels[41:])}
    write_prepared(folder / "digits", "digits", [str(digit) for digit in range(10)], splits, {})
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny: Path, make_settings: Make) -> Path:
    """Results of all methods, trained in one go, without a state ever saved."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIKD_DEVICE", "cpu")
        for method in METHODS:
            jobs.train(make_settings(*method, **RECIPE), folder, tiny, 1, save_every=100)
    return folder


@pytest.fixture
def results(tmp_path: Path, undisturbed: Path) -> Path:
    """New results, in which only the superior model is there."""
    superior = Path("runs/digits/net/baseline")
    shutil.copytree(undisturbed / superior, tmp_path / "results" / superior)
    return tmp_path / "results"


def superior(settings: dict[str, Any]) -> Any:
    if not settings["superior"]:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return build(settings["model"], 10)


def trainer(settings: dict[str, Any], data: Path) -> Trainer:
    return Trainer(settings, Prepared.open(data / "digits"), superior(settings), torch.device("cpu"))


def timeless(rows: list[Any]) -> list[Any]:
    return [{key: x for key, x in row.items() if key not in ("seconds", "images_per_second")} for row in rows]


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return timeless(list(csv.DictReader(file)))


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return found


def stop_after(monkeypatch: pytest.MonkeyPatch, epochs: int, number: int = signal.SIGTERM) -> None:
    """A signal comes in the second step of the epoch that follows."""
    original, steps = Trainer._step, []

    def step(self: Trainer, batch: Any) -> Any:
        if len(self.history) == epochs:
            steps.append(1)
            if len(steps) == 2:
                os.kill(os.getpid(), number)
        return original(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)


def contents(path: Path) -> Any:
    """Tensors as bytes, and metadata: the order of metadata in the file is the library's whim."""
    with safe_open(path, framework="np") as file:
        names = sorted(file.keys())
        return {name: file.get_tensor(name).tobytes() for name in names}, file.metadata()


def same_results(found: Path, expected: Path) -> None:
    """All but times and provenance, and nothing else in the folder."""
    assert (found / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    assert contents(found / LEFT_BEHIND) == contents(expected / LEFT_BEHIND)
    assert history(found) == history(expected)
    different = {"seconds", "images_per_second", "resumed_at", "revision"}
    a, b = ({k: v for k, v in summary(f).items() if k not in different} for f in (found, expected))
    assert a == b
    assert {path.name for path in found.iterdir()} == {*OUTPUTS, "history.csv", "train.json"}


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
        with pytest.raises(Interrupted) as end:
            jobs.train(chosen, results, tiny, 1, save_every=3)
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


@pytest.fixture
def baseline(make_settings: Make) -> dict[str, Any]:
    return make_settings(**RECIPE)


def interrupt(settings: dict[str, Any], results: Path, data: Path, epochs: int, save_every: int = 2) -> str:
    """Train until a signal comes in the epoch after `epochs`; returns what was said in the end."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, epochs)
        with pytest.raises(Interrupted) as end:
            jobs.train(settings, results, data, 1, save_every=save_every)
    return str(end.value)


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
    write_prepared(tmp_path / "other/digits", "digits", [str(digit) for digit in range(10)], splits, {})
    assert interrupt(chosen, results, tmp_path / "other", 1)
    assert "another training: inputs.data was " in capsys.readouterr().err
    path = results / "runs/digits/net/baseline/seed0/model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
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


def test_a_second_process_on_a_run_is_refused(tmp_path: Path, tiny: Path, baseline: dict[str, Any]) -> None:
    folder = tmp_path / "runs" / baseline["run"]
    folder.mkdir(parents=True)
    with exclusive(folder), pytest.raises(UserError, match=rf"{folder}: in use by process {os.getpid()} on "):
        jobs.train(baseline, tmp_path, tiny, 1)
    assert list(folder.iterdir()) == []


@pytest.fixture
def idle(tmp_path: Path, tiny: Path, baseline: dict[str, Any]) -> Attempt:
    return Attempt(tmp_path, {}, trainer(baseline, tiny), 2, time.monotonic())


@pytest.mark.parametrize("number", SIGNALS)
def test_handlers_come_back(idle: Attempt, number: signal.Signals) -> None:
    own: list[int] = []
    before = signal.signal(number, lambda n, frame: own.append(n))
    try:
        with pytest.raises(Interrupted), idle.heeding_signals():  # noqa: PT012
            for _ in range(3):
                os.kill(os.getpid(), number)
        assert own == []
        os.kill(os.getpid(), number)
        assert own == [number]
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", SIGNALS)
def test_ignored_signals_stay_ignored(idle: Attempt, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with idle.heeding_signals():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_another_thread_leaves_signals_alone(idle: Attempt) -> None:
    before, seen = [signal.getsignal(s) for s in SIGNALS], []

    def look() -> None:
        with idle.heeding_signals():
            seen.append([signal.getsignal(s) for s in SIGNALS])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


# Runs, in processes of their own

WORKER = """
import signal, sys
import torch
from aikd.cli import main
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
    assert signal.getsignal(number) is not signal.SIG_IGN
torch.set_num_threads(1)
print("ready", file=sys.stderr, flush=True)
sys.exit(main(sys.argv[1:]))
"""


def start(settings: dict[str, Any], results: Path, data: Path, save_every: int = 1) -> subprocess.Popen[str]:
    arguments = ["train", "--settings", json.dumps(settings), "--results", str(results), "--data", str(data)]
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, *arguments, "--save-every", str(save_every)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # A shell that runs tests in the background has SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,  # noqa: PLW1509
    )


def until(process: subprocess.Popen[str], words: str) -> Iterator[str]:
    """Lines of a process up to the one that starts with `words`."""
    assert process.stderr is not None
    for line in process.stderr:
        yield line
        if line.startswith(words):
            return


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_program_with_75_and_the_next_one_continues(
    results: Path, tiny: Path, make_settings: Make, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = make_settings("pskd", **RECIPE | {"epochs": 400})
    with start(chosen, results, tiny, save_every=1000) as process:
        assert list(until(process, "epoch   2/"))
        for _ in range(3):
            process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 75
    (line,) = [line for line in said.splitlines() if not line.startswith("epoch ")]
    (epoch,) = States(results / "runs" / chosen["run"]).epochs()
    run = chosen["run"]
    assert line == (
        f"aikd train: {run}: interrupted after epoch {epoch} of 400; the next attempt continues from there"
    )
    assert epoch >= 2
    interrupt(chosen, results, tiny, epoch)
    assert f"{run}: continues after epoch {epoch} of 400\n" in capsys.readouterr().err


@pytest.mark.parametrize(("method", "settings"), METHODS, ids=str)
def test_kills_at_random_instants_change_nothing(
    results: Path, undisturbed: Path, tiny: Path, make_settings: Make, method: str, settings: dict[str, Any]
) -> None:
    """Killed twice somewhere between the first epoch and the end, a state being saved in every epoch."""
    chosen, rng = make_settings(method, settings, **RECIPE), random.Random(f"{method} {settings}")
    folder = results / "runs" / chosen["run"]
    if method == "baseline":
        shutil.rmtree(folder)
    for _ in range(2):
        with start(chosen, results, tiny) as process:
            list(until(process, "epoch "))
            time.sleep(rng.uniform(0, 0.25))
            process.kill()
    with start(chosen, results, tiny) as process:
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    same_results(folder, undisturbed / "runs" / chosen["run"])

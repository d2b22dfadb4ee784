"""A disk without room: one message that names the file, everything old untouched, nothing half-written left."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aikd.cli import main
from aikd.engine import jobs, store
from aikd.engine.sources.packing import _Blob
from aikd.engine.state import States
from aikd.engine.store import UNFINISHED, saving
from aikd.engine.training import Trainer
from aikd.files import replacing, write_json, write_text
from aikd.study.layout import PROGRESS
from tests.conftest import DIGITS, DIGITS_SETTINGS
from tests.engine.archive_server import (
    CONTENT,
    NAME,
    Answer,
    Server,
    archive,
    assert_complete,
    fetch,
    serving,
)
from tests.weather.conftest import BASELINE, EPOCHS, Project, Refused
from tests.weather.rooms import Room, Small, files

RUN_FILES = ("model.safetensors", "history.csv", "train.json")

OUTPUTS: dict[str, tuple[Callable[[Project], list[str]], tuple[str, ...]]] = {
    "predictions": (lambda p: p.predict(BASELINE), (f"runs/{BASELINE}/predictions.safetensors",)),
    "metrics": (lambda p: p.calibrate(BASELINE), (f"runs/{BASELINE}/metrics.json",)),
    "table": (Project.table, tuple(f"tables/table_2.{form}" for form in ("tex", "csv", "md"))),
    "figure": (Project.curves, tuple(f"figures/figure_7b.{form}" for form in ("pdf", "png"))),
    "all_runs": (Project.collect, ("all_runs.csv", "costs.csv")),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_stands_there_stays_when_its_successor_finds_no_room(
    room: Room, cramped: Project, refused: Refused, kind: str
) -> None:
    arguments, outputs = OUTPUTS[kind]
    paths = [cramped.results / output for output in outputs]
    before = files(room.folder)
    for path in paths:
        room.refuse(path.stat().st_size)
        said = refused(arguments(cramped))
        room.relent()
        assert said in [f"{other}: {room.reason}" for other in paths]
        assert files(room.folder) == before
    assert main(arguments(cramped)) == 0


@pytest.mark.parametrize("kind", OUTPUTS)
def test_nothing_is_left_where_nothing_stood(
    room: Room, cramped: Project, refused: Refused, kind: str
) -> None:
    arguments, outputs = OUTPUTS[kind]
    for output in outputs:
        (cramped.results / output).unlink()
    before = files(room.folder)
    room.refuse()
    assert refused(arguments(cramped)).endswith(f": {room.reason}")
    assert files(room.folder) == before


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_run_without_room_for_its_results_goes_on_after_its_last_epoch(
    room: Room, cramped: Project, refused: Refused, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = cramped.file(BASELINE, ".")
    expected = files(folder)
    shutil.rmtree(folder)
    writer = dict(zip(RUN_FILES, ("save_model", "write_history", "write_json"), strict=True))[name]
    original = getattr(jobs, writer)

    def write(*arguments: Any) -> Any:
        room.refuse()
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, writer, write)
        said = refused(cramped.train(BASELINE, "--save-every", "3"))
        room.relent()
    assert said == f"{folder / name}: {room.reason}"
    # The last state is put aside before train.json is written.
    before, last = (States(folder).path(epoch).name for epoch in (3, EPOCHS))
    kept = [f".trained/{last}"] if name == "train.json" else [f".state/{before}", f".state/{last}"]
    assert sorted(path for path in files(folder) if path.startswith(".") and path != PROGRESS) == kept
    monkeypatch.setattr(Trainer, "epoch", lambda *_: pytest.fail("trained"))
    for command in (cramped.train(BASELINE), cramped.predict(BASELINE), cramped.calibrate(BASELINE)):
        assert main(command) == 0
    found = files(folder)
    assert found.keys() == expected.keys()
    assert all(found[same] == expected[same] for same in ("model.safetensors", "metrics.json"))


def test_training_outlives_a_disk_that_is_full_for_a_while(
    room: Room, cramped: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cramped.file(BASELINE, ".")
    model = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(folder)
    original, kept = States.save, dict[int, list[int]]()

    def write(states: States, epoch: int, snapshot: Any) -> None:
        if epoch == 2:
            room.refuse()
        try:
            original(states, epoch, snapshot)
        finally:
            room.relent()
            kept[epoch] = states.epochs()

    monkeypatch.setattr(States, "save", write)
    assert main(cramped.train(BASELINE, "--save-every", "1")) == 0
    said = capsys.readouterr().err
    state = folder / ".state" / "epoch-0002.safetensors"
    assert f"{BASELINE}: the state after epoch 2 could not be saved" in said
    assert f"{room.reason}: '{state}'); training goes on" in said
    assert kept == {1: [1], 2: [1], 3: [3, 1], 4: [4, 3]}
    assert (folder / "model.safetensors").read_bytes() == model


def test_predictions_that_are_left_behind_cost_no_run(
    room: Room, cramped: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = jobs.write_predictions

    def write(*arguments: Any) -> None:
        room.refuse()
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "write_predictions", write)
        assert main(cramped.train(BASELINE, "--again")) == 0
    room.relent()
    assert (
        f"predictions were not left behind ([Errno {errno_of(room)}] {room.reason}" in capsys.readouterr().err
    )
    assert main(cramped.predict(BASELINE)) == 0


def errno_of(room: Room) -> int:
    return errno.ENOSPC if isinstance(room, Small) else errno.EFBIG


def test_training_does_not_begin_where_there_is_no_room_at_all(
    room: Room, cramped: Project, refused: Refused
) -> None:
    before = files(room.folder)
    room.refuse()
    lock = cramped.file(BASELINE, ".lock")
    assert refused(cramped.train(BASELINE)) == f"{lock}: {room.reason}"
    assert files(room.folder) == before
    room.relent()
    assert main(cramped.train(BASELINE)) == 0


# Data


@pytest.mark.parametrize("size", [500, 2000, 20_000, 150_000])
def test_prepared_data_come_whole_or_without_a_manifest(
    room: Room, refused: Refused, tmp_path: Path, size: int
) -> None:
    command = ["prepare", "--settings", json.dumps(DIGITS_SETTINGS), "--data", str(room.folder)]
    room.refuse(size)
    said = refused(command)
    room.relent()
    path = Path(said.partition(": ")[0])
    assert said == f"{path}: {room.reason}"
    assert path.parent == room.folder / DIGITS
    left = files(room.folder)
    assert not [name for name in left if name.endswith("manifest.json")]
    assert not [name for name in left if Path(name).name.startswith(".") and not name.endswith(UNFINISHED)]
    assert main(command) == 0
    arrays = [name for name in left if not name.endswith(UNFINISHED)]
    assert all((room.folder / name).read_bytes() == left[name] for name in arrays)


def test_a_manifest_without_room_is_named(
    room: Room, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = store.write_json

    def write(*arguments: Any) -> None:
        room.refuse()
        original(*arguments)

    monkeypatch.setattr(store, "write_json", write)
    said = refused(["prepare", "--settings", json.dumps(DIGITS_SETTINGS), "--data", str(room.folder)])
    assert said == f"{room.folder / DIGITS}/manifest.json: {room.reason}"
    assert len([name for name in files(room.folder) if name.endswith(".npy")]) == 4


def save(path: Path, array: Any) -> None:
    with saving(path, array):
        pass


def test_an_array_keeps_its_old_content(room: Room) -> None:
    path = room.folder / "test_images.npy"
    save(path, np.arange(10))
    before = path.read_bytes()
    room.refuse(400_000)
    with pytest.raises(OSError, match=rf"{room.reason}: '{path}'"):
        save(path, np.zeros((100, 1000)))
    assert files(room.folder) == {path.name: before}


def test_a_saved_array_is_what_numpy_writes(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for name, given in (("c", array), ("f", np.asfortranarray(array)), ("cut", np.zeros((4, 0, 2)))):
        save(tmp_path / f"{name}.npy", given)
        np.save(tmp_path / "numpy.npy", np.ascontiguousarray(given))
        assert (tmp_path / f"{name}.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.parametrize("side", [10, 300])
def test_packed_images_without_room_are_named(room: Room, side: int) -> None:
    path = room.folder / "train_images.bin"

    def write() -> None:
        with replacing(path) as temporary, _Blob(temporary, 400) as blob:
            for position in range(400):
                blob.add(position, np.zeros((side, side, 3), np.uint8))
            blob.finish()

    room.refuse(50_000)
    with pytest.raises(OSError, match=rf"{room.reason}: '{path}'"):
        write()
    assert files(room.folder) == {}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with serving(monkeypatch) as running:
        yield running


def test_a_download_without_room_is_continued_later(room: Room, server: Server) -> None:
    wanted = archive(server.url(f"/{NAME}", Answer(etag='"1"')))
    room.refuse(1_000_000)
    part = room.folder / f".{NAME}.part"
    with pytest.raises(OSError, match=rf"{room.reason}: '{part}'"):
        fetch(wanted, room.folder)
    room.relent()
    got = part.read_bytes()
    assert got
    assert CONTENT.startswith(got)
    fetch(wanted, room.folder)
    assert server.ranges() == [None, f"bytes={len(got)}-"]
    assert_complete(room.folder)


def test_a_copy_from_a_mirror_without_room_is_named(room: Room, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / NAME).write_bytes(CONTENT)
    room.refuse(1_000_000)
    with pytest.raises(OSError, match=rf"{room.reason}: '{room.folder}/.{NAME}.part'"):
        fetch(archive("unused"), room.folder, mirror=str(mirror))
    room.relent()
    fetch(archive("unused"), room.folder, mirror=str(mirror))
    assert_complete(room.folder)


# What the command line says


def test_the_whole_program_ends_with_one_line_and_without_a_traceback(room: Room, cramped: Project) -> None:
    path = cramped.file(BASELINE, "metrics.json")
    room.refuse()
    command = [sys.executable, "-m", "aikd", *cramped.calibrate(BASELINE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"aikd calibrate: {path}: {room.reason}\n")


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "no room, the disk is full"),
        (errno.EDQUOT, "no room, the disk quota is used up"),
        (errno.EFBIG, "no room, the limit on the size of files is reached"),
    ],
)
def test_room_may_run_out_as_late_as_when_the_system_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    """Network file systems and quotas say so only then."""
    write_text(tmp_path / "file.txt", "old")

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=f"{reason}: '{tmp_path}/file.txt'") as error:
        write_json(tmp_path / "file.txt", {})
    assert error.value.errno == number
    assert files(tmp_path) == {"file.txt": b"old"}

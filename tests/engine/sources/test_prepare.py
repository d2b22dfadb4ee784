"""Preparing as a whole: which archives are let in, and what a preparation that fails or is killed leaves."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aikd.cli import main
from aikd.engine.locks import exclusive
from aikd.engine.sources import digits, prepare
from aikd.engine.store import Prepared
from aikd.errors import UserError
from aikd.study.folders import fingerprint
from aikd.study.resolve import prepared_folder
from tests.conftest import DIGITS, DIGITS_SETTINGS
from tests.workflow import archives

NAME = "CUB_200_2011.tgz"
SETTINGS: dict[str, Any] = {
    "name": "cub200",
    "counts": archives.COUNTS,
    "sides": {"train": None, "test": None},
    "source": {"accept_other": True},
}
FOLDER = prepared_folder(SETTINGS)


def place(data: Path, content: bytes | None = None) -> Path:
    """Put an archive into its place, with its receipt."""
    path = data / "downloads" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archives.cub200()[NAME] if content is None else content)
    assert main(["download", NAME, "--data", str(data), "--accept-other"]) == 0
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """The folder of all data, with an accepted archive and what is made of it."""
    place(tmp_path)
    prepare(SETTINGS, tmp_path)
    return tmp_path


# Doors


@pytest.mark.parametrize("source", [{}, {"accept_other": False}])
@pytest.mark.parametrize("said", [None, True])
def test_an_archive_that_is_not_the_published_one_needs_consent_whatever_its_receipt_says(
    tmp_path: Path, source: dict[str, Any], said: bool | None
) -> None:
    note = place(tmp_path).with_name(f"{NAME}.json")
    if said is not None:
        note.write_text(json.dumps(json.loads(note.read_text()) | {"verified": said}))
    with pytest.raises(
        UserError, match=rf"{NAME}: not the published archive: expected 1,150,585,339 bytes"
    ) as e:
        prepare(SETTINGS | {"source": source}, tmp_path)
    assert "accept_other" in str(e.value)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_receipt_that_claims_too_much_does_not_reach_the_manifest(tmp_path: Path) -> None:
    note = place(tmp_path).with_name(f"{NAME}.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"verified": True}))
    assert prepare(SETTINGS, tmp_path)["source"]["archives"][NAME]["verified"] is False


def test_an_archive_that_changed_after_its_receipt_is_refused_even_with_consent(tmp_path: Path) -> None:
    path = place(tmp_path)
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(UserError, match=f"{NAME}: found sha256 .* its receipt says"):
        prepare(SETTINGS, tmp_path)


@pytest.mark.parametrize("name", ["../x", "", "Cub", "a/b"])
def test_no_name_leads_out_of_the_data(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"--settings\.name: "):
        prepare(SETTINGS | {"name": name, "source": {"folder": "x"}}, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, "--settings.name: found 3"),
        ({"source": None}, "--settings.source: found null"),
        ({"counts": {"classes": "many"}}, "--settings.counts.classes: found"),
        ({"sides": {"train": "x"}}, "--settings.sides.train: found"),
        (
            {"source": {"folder": "x", "split_seed": 0, "fingerprint": ""}},
            "--settings: source.test_fraction: ",
        ),
        ({"source": {"folder": ["x"]}}, "--settings: source.folder: found"),
    ],
)
def test_settings_of_another_shape_are_one_message(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        prepare(SETTINGS | change, tmp_path / "data")
    assert said in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_longer_the_one_of_the_study_is_refused(tmp_path: Path) -> None:
    for name, content in archives.pictures(dict.fromkeys(archives.CLASSES, "{c}/{i}.jpg")).items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    photos = tmp_path / "photos"
    source = {
        "folder": str(photos),
        "test_fraction": 0.4,
        "split_seed": 0,
        "fingerprint": fingerprint(photos),
    }
    settings = SETTINGS | {"name": "mine", "source": source}
    assert prepare(settings, tmp_path)["train"] == 6
    (photos / "ape" / "0.jpg").rename(photos / "ape" / "9.jpg")
    with pytest.raises(
        UserError, match="photos: images came, went or changed in size since the study was read"
    ):
        prepare(settings, tmp_path)


# Ends


def test_a_failed_preparation_leaves_the_good_one_as_it_was(prepared: Path) -> None:
    before = files(prepared / FOLDER)
    archive = prepared / "downloads" / NAME
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(UserError, match="its receipt says"):
        prepare(SETTINGS, prepared)
    assert files(prepared / FOLDER) == before
    Prepared.open(prepared / FOLDER)


def test_data_of_an_archive_that_another_replaced_are_not_used_after_that_one_failed(prepared: Path) -> None:
    """Snakemake brings the manifest back, and takes it for new."""
    place(prepared, b"no archive at all")
    with pytest.raises(UserError, match=NAME):
        prepare(SETTINGS, prepared)
    with pytest.raises(UserError, match="did not come to its end; prepare the data again"):
        Prepared.open(prepared / FOLDER)
    place(prepared)
    prepare(SETTINGS, prepared)
    Prepared.open(prepared / FOLDER)


def test_two_ways_to_prepare_lie_side_by_side(prepared: Path) -> None:
    before, other = files(prepared / FOLDER), SETTINGS | {"sides": {"train": 20, "test": 20}}
    prepare(other, prepared)
    assert files(prepared / FOLDER) == before
    images = Prepared.open(prepared / prepared_folder(other)).images("train")
    assert images.shape == (6, 3, 20, 24)  # type: ignore[union-attr]


KILLED = """
import json, os, signal, sys
from pathlib import Path
from aikd.engine.sources import packing, prepare
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
packing.saving = die
prepare(json.loads(sys.argv[1]), Path(sys.argv[2]))
"""


def test_the_next_preparation_removes_what_a_killed_one_left(prepared: Path) -> None:
    before = files(prepared / FOLDER)
    command = [sys.executable, "-c", KILLED, json.dumps(SETTINGS), str(prepared)]
    assert subprocess.run(command, check=False).returncode == -9
    left = files(prepared / FOLDER).keys() - before.keys()
    assert len(left) == 3
    assert all(name.startswith(".") for name in left)
    Prepared.open(prepared / FOLDER)
    prepare(SETTINGS, prepared)
    assert files(prepared / FOLDER) == before


def test_where_there_are_no_locks_nothing_of_others_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, os.strerror(37))

    other = tmp_path / DIGITS / ".train_images.1.npy"
    other.parent.mkdir(parents=True)
    other.touch()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        prepare(DIGITS_SETTINGS, tmp_path)
    assert other.exists()
    prepare(DIGITS_SETTINGS, tmp_path)
    assert not other.exists()


def test_the_same_set_is_prepared_once_at_a_time_and_others_meanwhile(tmp_path: Path) -> None:
    (tmp_path / DIGITS).mkdir(parents=True)
    with exclusive(tmp_path / DIGITS):
        with pytest.raises(
            UserError, match=rf"{DIGITS}: in use by process {os.getpid()} on \S+; wait for it"
        ):
            prepare(DIGITS_SETTINGS, tmp_path)
        place(tmp_path)
        prepare(SETTINGS, tmp_path)


def test_arrays_written_in_one_piece_are_exchanged_when_all_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(DIGITS_SETTINGS, tmp_path)
    before = files(tmp_path / DIGITS)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("aikd.engine.store.begin", full)
        with pytest.raises(OSError, match="no room, the disk is full"):
            digits.prepare(tmp_path / DIGITS)
    assert files(tmp_path / DIGITS) == before

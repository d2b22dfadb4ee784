"""State files: what goes in comes out to the bit, and what is damaged is never taken for whole."""

import errno
import fcntl
import os
import random
import socket
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aikd.engine import locks
from aikd.engine.locks import exclusive
from aikd.engine.state import DamagedError, Snapshot, States
from aikd.errors import Interrupted, UserError
from aikd.records import difference

TREE: dict[str, Any] = {
    "student": OrderedDict(weight=torch.arange(6.0).view(2, 3), tracked=torch.tensor(7)),
    "optimiser": {0: {"momentum_buffer": torch.tensor([0.1, float("nan"), -0.0]), "step": None}, 1: {}},
    "betas": (0.5, 0.9),
    "history": [{"epoch": 1, "loss": 0.1 + 0.2, "test_error": None}, {"loss": 1e-310}],
    "low": torch.tensor([1.5, 2.5], dtype=torch.bfloat16),
    "flags": [True, "τ", torch.tensor([True, False]), torch.zeros(0, 3)],
}


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and bit."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and raw(a) == raw(b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def snapshot(number: int = 0) -> Snapshot:
    return Snapshot.of({"number": number, "weights": torch.full((50,), float(number))})


def number(found: tuple[int, Snapshot] | None) -> Any:
    return found and (found[0], found[1].tree()["number"])


def silent(text: str) -> None:
    pytest.fail(f"unexpected message: {text}")


def test_a_tree_comes_back_from_a_file_to_the_bit(tmp_path: Path) -> None:
    Snapshot.of(TREE).save(tmp_path / "a.safetensors")
    assert same(Snapshot.load(tmp_path / "a.safetensors").tree(), TREE | {"student": dict(TREE["student"])})


def test_a_snapshot_is_a_copy_and_so_is_what_it_gives() -> None:
    weights = torch.zeros(3)
    taken = Snapshot.of({"weights": weights})
    weights += 1
    taken.tree()["weights"] += 2
    assert taken.tree()["weights"].tolist() == [0, 0, 0]


def test_the_layout_of_a_tensor_changes_nothing(tmp_path: Path) -> None:
    images = torch.arange(48.0).view(2, 2, 3, 4)
    last = images.to(memory_format=torch.channels_last)
    assert Snapshot.of({"x": images}).digest() == Snapshot.of({"x": last}).digest()
    Snapshot.of({"x": last}).save(tmp_path / "a.safetensors")
    assert torch.equal(Snapshot.load(tmp_path / "a.safetensors").tree()["x"], images)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", torch.float32])
def test_what_is_not_plain_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(TypeError, match=f"/a/1: a state cannot hold {type(value).__name__}"):
        Snapshot.of({"a": [0, value]})


def test_two_tensors_never_share_a_place() -> None:
    with pytest.raises(TypeError, match="two tensors at /a/b"):
        Snapshot.of({"a": {"b": torch.zeros(1)}, "a/b": torch.zeros(1)})


def test_every_part_of_a_tree_changes_its_digest() -> None:
    trees: list[dict[str, Any]] = [
        {"a": torch.zeros(4)},
        {"b": torch.zeros(4)},
        {"a": torch.zeros(2, 2)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"a": torch.tensor([0, 0, 0, -0.0])},
        {"a": torch.zeros(4), "c": 1},
    ]
    assert len({Snapshot.of(tree).digest() for tree in trees}) == len(trees)


def test_any_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    Snapshot.of(TREE).save(path)
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(300):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.raises(DamagedError):
            Snapshot.load(path)


def test_any_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    Snapshot.of(TREE).save(path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError):
            Snapshot.load(path)


def test_the_newest_two_are_kept_also_past_four_digits(tmp_path: Path) -> None:
    states = States(tmp_path)
    assert states.newest(silent) is None
    for epoch in (10, 9999, 20, 10000):
        states.save(epoch, snapshot(epoch))
    assert {path.name for path in states.folder.iterdir()} == {
        "epoch-9999.safetensors",
        "epoch-10000.safetensors",
    }
    assert number(states.newest(silent)) == (10000, 10000)


def test_saving_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    states = States(tmp_path)
    states.save(1, snapshot(1))
    (states.folder / ".epoch-0002.4242.safetensors").write_bytes(b"half")
    states.save(2, snapshot(2))
    assert [path.name for path in sorted(states.folder.iterdir())] == [
        "epoch-0001.safetensors",
        "epoch-0002.safetensors",
    ]


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b""), lambda p: os.truncate(p, 400)])
def test_a_damaged_state_gives_way_to_the_one_before_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    states, said = States(tmp_path), list[str]()
    for epoch in (1, 2):
        states.save(epoch, snapshot(epoch))
    damage(states.path(2))
    assert number(states.newest(said.append)) == (1, 1)
    assert states.epochs() == [1]
    assert [text.split(" (")[0] for text in said] == [f"{states.path(2)}: damaged"]
    damage(states.path(1))
    assert states.newest(said.append) is None
    assert len(said) == 2


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE])
def test_a_state_that_cannot_be_read_now_is_named_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    states = States(tmp_path)
    for epoch in (1, 2):
        states.save(epoch, snapshot(epoch))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: refuse(number))
        with pytest.raises(OSError, match=os.strerror(number)) as error:
            states.newest(silent)
    assert error.value.filename == str(states.path(2))
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", lambda *_: refuse(number))
        with pytest.raises(OSError, match=os.strerror(number)):
            states.epochs()
    assert states.epochs() == [2, 1]


def refuse(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_a_full_disk_leaves_the_states_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full in the middle of the file: half of it is written, then the system refuses."""
    states = States(tmp_path)
    for epoch in (1, 2):
        states.save(epoch, snapshot(epoch))

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no room, the disk is full"):
        states.save(3, snapshot(3))
    assert [path.name for path in sorted(states.folder.iterdir())] == [
        "epoch-0001.safetensors",
        "epoch-0002.safetensors",
    ]
    assert number(states.newest(silent)) == (2, 2)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ({"a": {"b": [1, 2]}, "c": None}, {"a": {"b": [1, 2]}, "c": None}, None),
        ({"recipe": {"epochs": 60}}, {"recipe": {"epochs": 80}}, "recipe.epochs was 60, now it is 80"),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1]}}, "a.b was [1, 2], now it is [2, 1]"),
        ({"a": 1}, {"a": 1, "b": 2}, "b is new"),
        ({"a": {"x": 1, "b": 2}}, {"a": {"x": 1}}, "a.b is gone"),
        ({"a": 1}, {"a": True}, "a was 1, now it is True"),
        ({"a": {"b": 1}}, {"a": "b"}, "a was {'b': 1}, now it is 'b'"),
    ],
)
def test_the_first_difference_is_named_by_its_key(old: Any, new: Any, words: str | None) -> None:
    assert difference(old, new) == words


# The lock

HOLD = """
import sys, time
from pathlib import Path
from aikd.engine.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_that_another_process_has_is_refused_until_that_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(UserError) as error, exclusive(tmp_path):
                pass
            assert str(tmp_path) in str(error.value)
            assert f"process {holder.pid} on {socket.gethostname()}" in str(error.value)
            assert (tmp_path / ".lock").exists()
        finally:
            holder.kill()
    with exclusive(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert list(tmp_path.iterdir()) == []


def test_who_is_willing_to_wait_is_told_for_whom_and_comes_next(tmp_path: Path) -> None:
    """For a file, too, that is not there yet, and whatever else is locked beside it."""
    said = list[str]()
    path = tmp_path / "archive.tar"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(UserError, match=r"archive\.tar: in use by process"), exclusive(path):
                pass
            with exclusive(tmp_path), exclusive(tmp_path / "other.tar"):
                pass

            def waiting(text: str) -> None:
                said.append(text)
                holder.kill()

            with exclusive(path, waiting) as held:
                assert held
                own = f"process {os.getpid()} on {socket.gethostname()}"
                assert (tmp_path / ".archive.tar.lock").read_text() == own
        finally:
            holder.kill()
    assert said == [f"{path}: in use by process {holder.pid} on {socket.gethostname()}; waiting for it"]
    assert list(tmp_path.iterdir()) == []


def test_waiting_is_said_once_and_ends_when_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PAUSE", 0.0)
    said, looks = list[str](), list[int]()

    def check() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise Interrupted("enough")

    with exclusive(tmp_path):
        with pytest.raises(Interrupted, match="enough"), exclusive(tmp_path, said.append, check):
            pass
        assert said == [
            f"{tmp_path}: in use by process {os.getpid()} on {socket.gethostname()}; waiting for it"
        ]
    with exclusive(tmp_path, said.append, check):
        assert len(looks) == 3


def test_a_lock_on_a_file_that_is_gone_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder before removed the file between our opening and locking it, and somebody else made a new one."""
    real, calls = fcntl.flock, list[int]()

    def flock(file: Any, operation: int) -> None:
        real(file, operation)
        if not calls:
            (tmp_path / ".lock").unlink()
            (tmp_path / ".lock").touch()
        calls.append(os.fstat(file.fileno()).st_ino)

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive(tmp_path):
        assert len(calls) == 2
        assert (tmp_path / ".lock").stat().st_ino == calls[1]


@pytest.mark.parametrize("number", sorted(locks.NO_LOCKS))
def test_a_file_system_without_locks_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: refuse(number))
    with exclusive(tmp_path) as held:
        assert not held
        assert (tmp_path / ".lock").exists()


def test_another_error_of_the_lock_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), exclusive(tmp_path):
        pass

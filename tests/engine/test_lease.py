"""Who gets which GPU, with stand-ins for GPUs; the other holders are other open files of this process."""

import errno
import fcntl
import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import pytest

from aikd.cli import main
from aikd.engine import jobs, lease
from aikd.engine.gpus import FAKE
from aikd.engine.lease import FOLDER, JOBS, leased
from aikd.errors import UserError

RUN = "digits/net/baseline/seed0"


class WouldWaitError(Exception):
    """The lease would have to wait."""


class Machine:
    """A machine with GPUs, of which several processes take theirs."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, stack: ExitStack) -> None:
        self.patch, self.folder, self.stack = patch, folder, stack
        for name in ("AIKD_DEVICE", "CUDA_VISIBLE_DEVICES", *(name for names in JOBS for name in names)):
            patch.delenv(name, raising=False)
        patch.setenv(FOLDER, str(folder))
        self.have("GPU-a", "GPU-b")
        patch.setattr(lease.time, "sleep", self.sleep)

    def have(self, *names: str) -> None:
        self.patch.setenv(FAKE, ",".join(names))

    def sleep(self, seconds: float) -> None:
        raise WouldWaitError

    def process(self, share: int = 1, **environment: str) -> AbstractContextManager[str | None]:
        """A process of this environment that is about to take a GPU."""
        self.patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        for name, value in environment.items():
            self.patch.setenv(name, value)
        return leased(RUN, share)

    def take(self, share: int = 1, **environment: str) -> str | None:
        """A GPU that is held to the end of the test."""
        return self.stack.enter_context(self.process(share, **environment))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    with ExitStack() as stack:
        yield Machine(monkeypatch, tmp_path / "locks", stack)


def shows() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_every_run_has_a_gpu_of_its_own(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("GPU-a", "GPU-b"):
        assert machine.take() == shows() == name
    assert capsys.readouterr().err == ""
    with pytest.raises(WouldWaitError):
        machine.take()
    holder = f"{RUN} (process {os.getpid()})"
    assert (
        capsys.readouterr().err
        == f"{RUN}: waits for GPU-a, taken by {holder}; or for GPU-b, taken by {holder}\n"
    )


@pytest.mark.parametrize("failure", [None, ZeroDivisionError])
def test_a_gpu_is_given_back_whatever_happened(machine: Machine, failure: type[Exception] | None) -> None:
    machine.have("GPU-a")
    with suppress(ZeroDivisionError), machine.process():
        assert len(list(machine.folder.iterdir())) == 1
        if failure:
            raise failure
    assert list(machine.folder.iterdir()) == []
    assert machine.take() == "GPU-a"


def test_runs_that_share_spread_over_the_gpus(machine: Machine) -> None:
    assert [machine.take(2) for _ in range(4)] == ["GPU-a", "GPU-b"] * 2
    with pytest.raises(WouldWaitError):
        machine.take(2)


def test_the_emptiest_gpu_is_taken(machine: Machine) -> None:
    machine.have("GPU-a", "GPU-b", "GPU-c")
    assert [machine.take(3, CUDA_VISIBLE_DEVICES=v) for v in ("0", "0", "1", "2", "2")][-1] == "GPU-c"
    assert machine.take(3) == "GPU-b"


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (1, 9)])
def test_a_run_that_wants_to_be_alone_is(machine: Machine, first: int, second: int) -> None:
    machine.have("GPU-a")
    machine.take(first)
    with pytest.raises(WouldWaitError):
        machine.take(second)


@pytest.mark.parametrize("seed", range(5))
def test_nobody_has_more_company_than_they_want_and_nobody_waits_without_need(
    machine: Machine, seed: int
) -> None:
    rng, names = random.Random(seed), ["GPU-a", "GPU-b", "GPU-c"]
    machine.have(*names)
    running: list[tuple[str, int, ExitStack]] = []
    waited = 0
    for _ in range(100):
        if running and rng.random() < 0.4:
            running.pop(rng.randrange(len(running)))[2].close()
            continue
        share, stack = rng.randint(1, 3), ExitStack()
        shares = {name: [s for gpu, s, _ in running if gpu == name] for name in names}
        room = [name for name in names if all(len(shares[name]) + 1 <= s for s in [share, *shares[name]])]
        try:
            gpu = stack.enter_context(machine.process(share))
        except WouldWaitError:
            assert room == []
            waited += 1
            continue
        assert gpu in room
        assert len(shares[gpu]) == min(len(shares[name]) for name in room)
        running.append((gpu, share, stack))
    assert 5 < waited < 60
    for _, _, stack in running:
        stack.close()


# What CUDA shows


def test_visible_devices_are_the_pool_by_whatever_number(machine: Machine) -> None:
    machine.have("GPU-a", "GPU-b", "GPU-c", "GPU-d")
    assert machine.take(CUDA_VISIBLE_DEVICES="2,3") == shows() == "GPU-c"
    assert machine.take(CUDA_VISIBLE_DEVICES="GPU-c,GPU-d") == shows() == "GPU-d"
    with pytest.raises(WouldWaitError):
        machine.take(CUDA_VISIBLE_DEVICES="3,2")
    assert [machine.take(), machine.take()] == ["GPU-a", "GPU-b"]


def test_a_single_visible_device_stays_as_it_was_named(machine: Machine) -> None:
    assert (machine.take(CUDA_VISIBLE_DEVICES="1"), shows()) == ("GPU-b", "1")
    machine.have("GPU-z")
    assert (machine.take(), shows()) == ("GPU-z", None)


@pytest.mark.parametrize("nothing", ["", "-1", "NoDevFiles", "7", "GPU-z"])
def test_no_visible_device_takes_none(machine: Machine, nothing: str) -> None:
    assert (machine.take(CUDA_VISIBLE_DEVICES=nothing), shows()) == (None, nothing)
    assert not machine.folder.exists()


@pytest.mark.parametrize("device", ["cpu", "mps", "mps:0", "nonsense", "cuda:2"])
def test_no_gpu_is_taken_for_another_device(machine: Machine, device: str) -> None:
    assert (machine.take(AIKD_DEVICE=device), shows()) == (None, None)
    assert not machine.folder.exists()


def test_a_gpu_chosen_by_its_number_keeps_it(machine: Machine) -> None:
    assert (machine.take(AIKD_DEVICE="cuda:1"), shows()) == ("GPU-b", None)
    with pytest.raises(WouldWaitError):
        machine.take(AIKD_DEVICE="cuda:1")
    assert machine.take(AIKD_DEVICE="cuda") == shows() == "GPU-a"


def test_parts_of_divided_gpus_are_taken_one_by_one(machine: Machine) -> None:
    parts = "MIG-GPU-1/2/0,MIG-33333333-4444-5555-6666-777777777777"
    assert machine.take(CUDA_VISIBLE_DEVICES=parts) == shows() == "MIG-GPU-1/2/0"
    assert machine.take(CUDA_VISIBLE_DEVICES=parts) == shows() == "MIG-33333333-4444-5555-6666-777777777777"
    with pytest.raises(WouldWaitError):
        machine.take(CUDA_VISIBLE_DEVICES=parts)
    # The driver knows no more than the UUID of the only part that it shows.
    machine.have("GPU-33333333-4444-5555-6666-777777777777")
    with pytest.raises(WouldWaitError):
        machine.take()


# Schedulers


def job(names: tuple[str, ...], number: str) -> dict[str, str]:
    """The environment of a job; of those that have two variables, jobs of one array that differ in the second."""
    return dict(zip(names, [f"7.{number}"] if len(names) == 1 else ["7", number], strict=True))


@pytest.mark.parametrize("names", JOBS)
def test_jobs_to_which_a_scheduler_gave_the_same_gpu_do_not_wait_for_each_other(
    machine: Machine, names: tuple[str, ...]
) -> None:
    given = {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert [machine.take(**given, **job(names, "1")) for _ in range(2)] == ["GPU-a", "GPU-b"]
    with pytest.raises(WouldWaitError):
        machine.take(**given, **job(names, "1"))
    assert [machine.take(**given, **job(names, "2")) for _ in range(2)] == ["GPU-a", "GPU-b"]


@pytest.mark.parametrize("names", JOBS)
def test_jobs_that_were_given_no_gpu_share_out_those_of_the_machine(
    machine: Machine, names: tuple[str, ...]
) -> None:
    assert [machine.take(**job(names, number)) for number in ("1", "2")] == ["GPU-a", "GPU-b"]
    with pytest.raises(WouldWaitError):
        machine.take(**job(names, "3"))


# The folder


def leave(machine: Machine, name: str, make: Callable[[Path], object]) -> Path:
    machine.folder.mkdir(exist_ok=True)
    make(machine.folder / name)
    return machine.folder / name


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
def test_leases_that_nobody_holds_are_removed(machine: Machine, make: Callable[[Path], object]) -> None:
    left = [leave(machine, f"{scope}.a.1.0123", make) for scope in ("machine", "SLURM_JOB_ID-7")]
    assert machine.take() == "GPU-a"
    assert [path.exists() for path in left] == [False, False]


@pytest.mark.parametrize("name", ["README", "machine.a.1", "machine.a.x.0123", "machine.a.1.0123.old"])
def test_other_files_mean_nothing_and_stay(machine: Machine, name: str) -> None:
    with leave(machine, name, Path.touch).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert machine.take() == "GPU-a"
    assert (machine.folder / name).exists()


def test_modes_let_everybody_take_part_whatever_the_umask(machine: Machine) -> None:
    umask = os.umask(0o077)
    try:
        machine.take()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(umask)
    (path,) = machine.folder.iterdir()
    assert (machine.folder.stat().st_mode & 0o7777, path.stat().st_mode & 0o7777) == (0o1777, 0o644)


def links(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")


def links_a_lease(folder: Path) -> None:
    folder.mkdir()
    (folder / "machine.a.1.0123").symlink_to("/dev/null")


@pytest.mark.parametrize("make", [links, links_a_lease, Path.touch])
def test_what_is_not_the_folder_of_leases_is_refused(machine: Machine, make: Callable[[Path], None]) -> None:
    make(machine.folder)
    with pytest.raises(UserError, match=rf"^{machine.folder}: .+ set {FOLDER} to another one$"):
        machine.take()
    assert list(machine.folder.parent.glob("elsewhere/*")) == []


def test_a_file_system_without_locks_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(UserError, match=f"{machine.folder}: .*No locks available; .*{FOLDER}"):
        machine.take()
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_full_disk_is_no_reason_to_wait(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        assert machine.take() == "GPU-a"
    assert machine.take() == "GPU-b"


def test_the_folder_is_that_of_the_machine_unless_told(machine: Machine, tmp_path: Path) -> None:
    assert str(lease.DEFAULT_FOLDER) == "/tmp/aikd-gpus"
    machine.patch.delenv(FOLDER)
    machine.patch.setattr(lease, "DEFAULT_FOLDER", tmp_path / "default")
    machine.take()
    assert len(list((tmp_path / "default").iterdir())) == 1


# Waiting


class Clock:
    """Time that passes while one sleeps."""

    def __init__(self, machine: Machine, until: float) -> None:
        self.now, self.until = 1000.0, 1000.0 + until
        machine.patch.setattr(lease.time, "monotonic", lambda: self.now)
        machine.patch.setattr(lease.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        assert 0.005 < seconds <= 1  # neither busy nor late
        self.now += seconds
        if self.now > self.until:
            raise WouldWaitError


@pytest.mark.parametrize(("seconds", "lines"), [(1, 1), (1790, 1), (1810, 2), (5500, 4)])
def test_waiting_is_said_at_once_and_then_rarely(
    machine: Machine, seconds: float, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.have("GPU-a")
    machine.take()
    Clock(machine, seconds)
    with pytest.raises(WouldWaitError):
        machine.take()
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{RUN}: waits for GPU-a, taken by {RUN} (process {os.getpid()})"] * lines


@pytest.mark.parametrize(("seconds", "lines"), [(9, 0), (12, 1)])
def test_a_folder_that_stays_locked_is_named(
    machine: Machine, seconds: float, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.folder.mkdir()
    place = os.open(machine.folder, os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)
    Clock(machine, seconds)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(WouldWaitError):
        machine.take()
    assert len(list(Path("/dev/fd").iterdir())) == before
    os.close(place)
    words = f"{RUN}: waits for {machine.folder}, which another process keeps locked"
    assert capsys.readouterr().err.splitlines() == [words] * lines
    assert machine.take() == "GPU-a"


def test_a_folder_that_was_replaced_while_it_was_locked_is_opened_anew(machine: Machine) -> None:
    original, opened = os.open, []

    def open_late(*arguments: object, **options: object) -> int:
        file: int = original(*arguments, **options)  # type: ignore[arg-type]
        if not opened:
            opened.append(file)
            machine.folder.rename(machine.folder.with_name("old"))
        return file

    machine.patch.setattr(os, "open", open_late)
    with pytest.raises(WouldWaitError):
        machine.take()
    assert machine.take() == "GPU-a"
    assert len(list(machine.folder.iterdir())) == 1


def test_words_of_others_are_shown_without_what_terminals_obey(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.have("GPU-a")
    machine.take()
    (path,) = machine.folder.iterdir()
    path.write_bytes(b"\x1b[2Ja\nb\xff" + 1000 * b"c")
    with pytest.raises(WouldWaitError):
        machine.take()
    said = capsys.readouterr().err
    assert said.startswith(f"{RUN}: waits for GPU-a, taken by [2Jab\ufffdccc")
    assert said.count("\n") == 1
    assert len(said) < 400


# The commands


def test_commands_pass_on_what_they_were_told(machine: Machine, tmp_path: Path) -> None:
    seen = []
    machine.patch.setattr(jobs, "train", lambda *arguments: seen.append((*arguments[3:6], shows())))
    machine.patch.setattr(jobs, "predict", lambda *arguments: seen.append((arguments[0], shows())))
    machine.take(2)
    machine.patch.delenv("CUDA_VISIBLE_DEVICES")
    options = f"--results {tmp_path} --evaluate-every 3 --save-every 4"
    command = f'train {options} --settings {{"run":"{RUN}"}}'.split()
    assert main([*command, "--runs-per-gpu", "2"]) == 0
    machine.take(2, CUDA_VISIBLE_DEVICES="1")
    machine.patch.delenv("CUDA_VISIBLE_DEVICES")
    assert main(["predict", RUN, "--results", str(tmp_path), "--runs-per-gpu", "2"]) == 0
    assert seen == [(3, 4, "GPU-b", "GPU-b"), (RUN, "GPU-a")]
    machine.patch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(WouldWaitError):
        main(command)
    machine.patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(WouldWaitError):
        main(["predict", RUN, "--results", str(tmp_path)])

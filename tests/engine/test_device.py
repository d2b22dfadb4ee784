"""Where to compute, and what is said of it."""

import subprocess
from pathlib import Path

import pytest
import torch

from aikd.engine.device import choose_device, device_name, within_memory
from aikd.engine.provenance import revision, versions
from aikd.errors import UserError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with a CPU alone; tests put more into it."""
    monkeypatch.delenv("AIKD_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


def gpus(machine: pytest.MonkeyPatch, count: int) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "device_count", lambda: count)


def test_fastest_device_is_chosen(machine: pytest.MonkeyPatch) -> None:
    assert choose_device().type == "cpu"
    machine.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device().type == "mps"
    machine.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device().type == "cuda"


def test_the_variable_has_the_last_word(machine: pytest.MonkeyPatch) -> None:
    gpus(machine, 2)
    for wanted in ("cpu", "cuda", "cuda:0", "cuda:1"):
        machine.setenv("AIKD_DEVICE", wanted)
        assert choose_device() == torch.device(wanted)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1", "mps", "meta", "gpu", "tpu 3"])
def test_a_device_that_is_not_there_is_refused(machine: pytest.MonkeyPatch, wanted: str) -> None:
    machine.setenv("AIKD_DEVICE", wanted)
    with pytest.raises(UserError, match=f"AIKD_DEVICE: found '{wanted}'; on this machine there is: cpu$"):
        choose_device()


@pytest.mark.parametrize(("count", "names"), [(1, "cpu, cuda"), (2, "cpu, cuda:0 to cuda:1")])
def test_a_gpu_beyond_those_that_are_there_is_refused(
    machine: pytest.MonkeyPatch, count: int, names: str
) -> None:
    gpus(machine, count)
    machine.setenv("AIKD_DEVICE", f"cuda:{count}")
    with pytest.raises(UserError, match=f"found 'cuda:{count}'; on this machine there is: {names}$"):
        choose_device()


def test_running_out_of_a_gpus_memory_is_no_fault_of_the_project() -> None:
    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 is full.\nTraceback"
    )
    with (
        pytest.raises(UserError, match=r"^a/run: CUDA out of memory\..*full\. .* lower runs_per_gpu") as said,
        within_memory("a/run"),
    ):
        raise error
    assert "Traceback" not in str(said.value)
    with pytest.raises(RuntimeError, match="something else"), within_memory("a/run"):
        raise RuntimeError("something else")


def test_devices_have_names_for_people(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    assert device_name(torch.device("cuda")) == "Some GPU"
    assert device_name(torch.device("cpu")) == f"cpu, {torch.get_num_threads()} threads"


def test_revision_is_that_of_the_code_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is called from: `git describe` in the folder of the package."""
    here = Path(__file__).resolve().parents[2]
    git = subprocess.run(
        ["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    monkeypatch.chdir(tmp_path)
    found = revision()
    if git.returncode:
        assert found is None
    else:
        assert found is not None
        assert found.removesuffix("+changes") == git.stdout.strip()


def test_no_git_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert revision() is None


def test_versions_are_those_imported() -> None:
    assert versions()["torch"] == torch.__version__ or torch.__version__.startswith(versions()["torch"])

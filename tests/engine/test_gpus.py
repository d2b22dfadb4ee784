"""Which GPUs there are: asked of a stand-in for the driver's library, compiled where there is a C compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aikd.engine import gpus
from aikd.engine.gpus import FAKE, visible_gpus

LIBRARY = """
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int on(const char *name) { return getenv(name) != NULL; }
int cuInit(unsigned flags) { if (on("SLOW")) sleep(60); return on("BROKEN") ? 999 : flags; }
int cuDeviceGetCount(int *count) { *count = on("NONE") ? 0 : 2; return on("NONE") ? 100 : 0; }
int cuDeviceGet(int *device, int index) { *device = index + 40; return 0; }
static int uuid(char *raw, int device, int version) {
    for (int i = 0; i < 16; i++) raw[i] = 16 * i + device - 40;
    raw[15] = version;
    return on("NAMELESS") ? 1 : 0;
}
int cuDeviceGetUuid(char *raw, int device) { return uuid(raw, device, 1); }
#ifndef OLD
int cuDeviceGetUuid_v2(char *raw, int device) { return uuid(raw, device, 2); }
#endif
"""
ASK = """
import sys
from aikd.engine import gpus
from aikd.errors import UserError
gpus.SECONDS = float(sys.argv[1])
try:
    print(gpus.visible_gpus())
except UserError as error:
    print(error)
# CUDA has not been started here: CUDA_VISIBLE_DEVICES may still change.
assert "torch" not in sys.modules
"""
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def compiled(folder: Path, *options: str) -> Path:
    if COMPILER is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    (folder / "cuda.c").write_text(LIBRARY)
    command = [
        COMPILER,
        "-shared",
        "-fPIC",
        *options,
        "-o",
        str(folder / gpus.DRIVER),
        str(folder / "cuda.c"),
    ]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("driver"))


def ask(driver: Path, seconds: float = 60, **environment: str) -> str:
    plain = {k: v for k, v in os.environ.items() if k not in (FAKE, "CUDA_VISIBLE_DEVICES")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(seconds)],
        env=plain | {"LD_LIBRARY_PATH": str(driver)} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.strip()


def uuids(version: int) -> str:
    """As nvidia-smi writes the bytes 00 10 20 … of the first GPU, and 01 11 21 … of the second."""
    return str(
        [f"GPU-0{n}1{n}2{n}3{n}-4{n}5{n}-6{n}7{n}-8{n}9{n}-a{n}b{n}c{n}d{n}e{n}0{version}" for n in range(2)]
    )


def test_the_driver_names_gpus_by_uuid(driver: Path) -> None:
    assert ask(driver) == uuids(2)


def test_an_old_driver_is_asked_in_its_own_way(tmp_path: Path) -> None:
    assert ask(compiled(tmp_path, "-DOLD")) == uuids(1)


@pytest.mark.parametrize("trouble", ["NONE", "BROKEN"])
def test_a_driver_without_a_usable_gpu_has_none(driver: Path, trouble: str) -> None:
    assert ask(driver, **{trouble: "1"}) == "[]"


def test_a_driver_that_misbehaves_is_an_error_that_says_so(driver: Path) -> None:
    assert ask(driver, NAMELESS="1") == (
        "the NVIDIA driver cannot be asked for GPUs (no UUID of device 0); AIKD_DEVICE=cpu does without"
    )
    assert ask(driver, seconds=0.5, SLOW="1") == (
        "the NVIDIA driver has not answered in 0.5 s; AIKD_DEVICE=cpu does without"
    )


# Without a driver


@pytest.fixture
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (FAKE, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object, **options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.usefixtures("nobody_is_asked")
def test_without_a_driver_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "DRIVER", "libno-such-driver.so.1")
    assert visible_gpus() == []


@pytest.mark.usefixtures("nobody_is_asked")
def test_where_cuda_is_to_show_nothing_no_process_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_driver_is_there", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        (None, ["GPU-ab", "GPU-ac", "GPU-d"]),
        ("0,1,2", ["GPU-ab", "GPU-ac", "GPU-d"]),
        ("2, 0", ["GPU-d", "GPU-ab"]),
        ("GPU-d,1", ["GPU-d", "GPU-ac"]),
        ("GPU-ac,GPU-ab", ["GPU-ac", "GPU-ab"]),
        ("1,-1,0", ["GPU-ac"]),
        ("1,3,0", ["GPU-ac"]),
        ("2,GPU-a,1", ["GPU-d"]),
        ("MIG-x,MIG-y,MIG-x,GPU-d", ["MIG-x", "MIG-y"]),
        ("GPU-d,MIG-x", ["GPU-d"]),
        ("", []),
        ("GPU-", []),
        ("ab", []),
    ],
)
@pytest.mark.usefixtures("nobody_is_asked")
def test_stand_ins_are_shown_as_cuda_would(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, shown: list[str]
) -> None:
    monkeypatch.setenv(FAKE, "GPU-ab,GPU-ac,GPU-d")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpus() == shown


@pytest.mark.usefixtures("nobody_is_asked")
def test_no_stand_ins_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_driver_is_there", lambda: True)
    monkeypatch.setenv(FAKE, "")
    assert visible_gpus() == []

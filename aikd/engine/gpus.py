"""The GPUs that CUDA would show this process, asked without torch and without starting CUDA in it."""

import ctypes
import os
import subprocess
import sys

from aikd.errors import UserError

FAKE = "AIKD_FAKE_GPUS"
"""For tests: names that stand in for the machine's GPUs, such as `GPU-a,GPU-b`. Nothing computes on them."""

DRIVER = "libcuda.so.1"
SECONDS = 120
"""Patience with the driver; it may have to load its firmware first."""

_QUESTION = f"""
import ctypes, uuid
cuda = ctypes.CDLL("{DRIVER}")
count, device, raw = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(16)
# The second version tells the instances of a divided GPU apart; drivers from before CUDA 11.4 do not have it.
get_uuid = getattr(cuda, "cuDeviceGetUuid_v2", None) or cuda.cuDeviceGetUuid
if not cuda.cuInit(0) and not cuda.cuDeviceGetCount(ctypes.byref(count)):
    for index in range(count.value):
        if cuda.cuDeviceGet(ctypes.byref(device), index) or get_uuid(raw, device):
            raise SystemExit(f"no UUID of device {{index}}")
        print(f"GPU-{{uuid.UUID(bytes=raw.raw)}}")
"""


def visible_gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES takes, of the GPUs that CUDA shows with its present value, in CUDA's order.

    None where there is no driver, or it finds no GPU. Of several instances of divided GPUs (MIG) CUDA shows a process
    the first alone, so these are taken as CUDA_VISIBLE_DEVICES names them.

    Raises:
        UserError: the driver does not answer, or not as it should.
    """
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    tokens = None if wanted is None else [token.strip() for token in wanted.split(",")]
    if tokens is not None and tokens[0].startswith("MIG-"):
        return [token for token in dict.fromkeys(tokens) if token.startswith("MIG-")]
    fake = os.environ.get(FAKE)
    if fake is not None:
        names = [name for name in fake.split(",") if name]
        return names if tokens is None else _shown(names, tokens)
    if wanted == "" or not _driver_is_there():
        return []
    return _ask_driver()


def _shown(names: list[str], tokens: list[str]) -> list[str]:
    """What CUDA would show: indices or beginnings of names, up to the first that it does not know."""
    shown = []
    for token in tokens:
        meant = [
            name
            for index, name in enumerate(names)
            if token == str(index) or (token.startswith("GPU-") and name.startswith(token))
        ]
        if len(meant) != 1:
            break
        shown += meant
    return shown


def _driver_is_there() -> bool:
    """Loading the library reads no CUDA_VISIBLE_DEVICES yet; that comes with cuInit."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True


def _ask_driver() -> list[str]:
    # In a process of its own: in this one, CUDA_VISIBLE_DEVICES could no longer be changed afterwards.
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _QUESTION],
            capture_output=True, text=True, check=True, timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the NVIDIA driver has not answered in {SECONDS} s; AIKD_DEVICE=cpu does without"
        ) from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise UserError(
            f"the NVIDIA driver cannot be asked for GPUs ({said}); AIKD_DEVICE=cpu does without"
        ) from None
    return answer.stdout.split()

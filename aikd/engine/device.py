"""The one place that chooses where to compute."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from aikd.errors import UserError


def choose_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU; the variable AIKD_DEVICE overrides.

    Raises:
        UserError: AIKD_DEVICE names a device that is not there.
    """
    wanted = os.environ.get("AIKD_DEVICE")
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    there = _devices()
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or (device.index or 0) >= there.get(device.type, 0):
        names = ", ".join(
            name if count == 1 else f"{name}:0 to {name}:{count - 1}" for name, count in there.items()
        )
        raise UserError(f"AIKD_DEVICE: found {wanted!r}; on this machine there is: {names}")
    return device


def _devices() -> dict[str, int]:
    """How many devices there are of each kind, of those that there are."""
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = {"cpu": 1, "cuda": cuda, "mps": int(torch.backends.mps.is_available())}
    return {kind: count for kind, count in found.items() if count}


@contextmanager
def within_memory(what: str) -> Iterator[None]:
    """Where a GPU's memory does not suffice, say so.

    Args:
        what: needs the memory, for the message.

    Raises:
        UserError: it does not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = str(error).partition("\n")[0]
        raise UserError(
            f"{what}: {said} Does something else use the GPU? Otherwise lower runs_per_gpu; smaller batches or another "
            "precision (recipe.batch_size, recipe.precision) need less, too, and are another recipe. What was trained "
            "is saved as after any interruption"
        ) from None


def device_name(device: torch.device) -> str:
    """What a person would call the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"

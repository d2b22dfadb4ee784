"""The one place that chooses where to compute."""

import os

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
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = None
    if device is None or not there.get(device.type):
        names = ", ".join(name for name, present in there.items() if present)
        raise UserError(f"AIKD_DEVICE: found {wanted!r}; on this machine there is: {names}")
    return device


def device_name(device: torch.device) -> str:
    """What a person would call the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"

"""Where an artefact comes from."""

import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

LIBRARIES = ("aikd", "torch", "torchvision", "numpy")


def revision() -> str | None:
    """The git revision of the code that runs, with `+changes` where the work tree differs; None outside git."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide results."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """The most memory that this process has had so far, in MB: main memory, and CUDA's where that is the device."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage's, in bytes
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    used = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"host_mb": round(host / 1e6), "device_mb": None if used is None else round(used / 1e6)}

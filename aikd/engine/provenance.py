"""Where an artefact comes from."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

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

"""Where images come from: one module for each layout in which data sets are published."""

import importlib
from pathlib import Path
from typing import Any

from aikd.study.explain import allowed

SOURCES = {"digits": "aikd.engine.sources.digits"}


def prepare(name: str, folder: Path) -> dict[str, Any]:
    """Prepare the data set `name` in `folder`; returns its manifest.

    Raises:
        UserError: no source of that name.
    """
    if name not in SOURCES:
        allowed("data set", name, SOURCES)
    manifest: dict[str, Any] = importlib.import_module(SOURCES[name]).prepare(folder)
    return manifest

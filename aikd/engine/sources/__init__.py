"""Where images come from: one module for each layout in which data sets are published."""

import importlib
from pathlib import Path
from typing import Any

from aikd.errors import UserError
from aikd.study.catalogue import DATA_SETS
from aikd.study.explain import allowed

SOURCES = {"digits": "aikd.engine.sources.digits"}


def prepare(name: str, folder: Path) -> dict[str, Any]:
    """Prepare the data set `name` in `folder`; returns its manifest.

    Raises:
        UserError: no source of that name.
    """
    if name in DATA_SETS and name not in SOURCES:
        raise UserError(f"data set {name}: cannot be prepared yet; today this works for {', '.join(SOURCES)}")
    if name not in SOURCES:
        allowed("data set", name, SOURCES)
    manifest: dict[str, Any] = importlib.import_module(SOURCES[name]).prepare(folder)
    return manifest

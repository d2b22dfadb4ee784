"""Whether the runs in an archive are whole: what packing asks of a run's files, asked before any of them is written."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load

from aikd.engine.sharing.contents import Contents, run_file
from aikd.errors import UserError
from aikd.files import json_object
from aikd.records import check_predictions, check_run, check_training
from aikd.study.layout import METRICS, MODEL, PREDICTIONS, SUMMARY

AGAIN = "have it packed again"


@dataclass
class Wholeness:
    """Looks at the files of the runs one by one, in whatever order they come, and at the end at how they fit."""

    contents: Contents
    archive: Path
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What summaries, metrics and predictions say of themselves, by the files' names."""

    def __post_init__(self) -> None:
        name = partial(run_file, self.contents.results)
        self._runs = {name(run, kind): (run, kind) for run in self.contents.runs for kind in _LOOKED_AT}
        for run in set(self.contents.runs) - set(self.contents.no_predictions):
            if (file := name(run, PREDICTIONS)) not in self.contents.files:
                raise UserError(f"{self.archive}: {file}: is missing; {AGAIN}")

    def look(self, name: str, content: bytes) -> None:
        """Look at one file; those that say nothing of themselves are passed over.

        Raises:
            UserError: it is damaged, or another run's.
        """
        if name in self._runs:
            run, kind = self._runs[name]
            where = f"{self.archive}: {name}"
            if kind == PREDICTIONS:
                self._facts[name] = _predictions(content, where, run)
            else:
                found = json_object(content, where, AGAIN)
                check_run(where, run, found, AGAIN)
                self._facts[name] = {key: found[key] for key in ("model", "data") if key in found}

    def finish(self) -> None:
        """After the last file.

        Raises:
            UserError: files of a run do not belong to each other.
        """
        for name, (run, kind) in self._runs.items():
            trained = self._facts[run_file(self.contents.results, run, SUMMARY)]
            where = f"{self.archive}: {name}"
            if kind != SUMMARY and name in self._facts:
                keys = ("model",) if kind == METRICS else ("model", "data")
                check_training(where, self._facts[name], keys, trained, AGAIN)
        for run in self.contents.runs:
            name = run_file(self.contents.results, run, MODEL)
            wanted = self._facts[run_file(self.contents.results, run, SUMMARY)].get("model")
            if name in self.contents.files and wanted and self.contents.files[name].sha256 != wanted:
                raise UserError(
                    f"{self.archive}: {name}: is not the model that {SUMMARY} beside it is of; {AGAIN}"
                )


_LOOKED_AT = (SUMMARY, PREDICTIONS, METRICS)


def _predictions(content: bytes, where: str, run: str) -> dict[str, Any]:
    """The metadata of predictions, whose content has the digest that stands in it."""
    try:
        tensors = load(content)
        # The library gives metadata of files alone. What it has read begins with the header's length, then JSON.
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{where}: damaged or no predictions ({error}); {AGAIN}") from None
    metadata: dict[str, Any] = header.get("__metadata__") or {}
    check_predictions(where, run, tensors, metadata, AGAIN)
    return metadata

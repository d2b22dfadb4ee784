"""The finished runs of a study in one file."""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aikd.engine.sharing.contents import (
    CONTENTS,
    DATA,
    FORMAT,
    RECORDS,
    Contents,
    Packed,
    run_file,
    study_file,
)
from aikd.engine.sharing.snakemake_records import read_records
from aikd.engine.sources.containers import FILE as LARGEST
from aikd.errors import UserError
from aikd.files import replacing
from aikd.records import file_digest, read_metrics, read_predictions, read_summary
from aikd.study import beside, queries
from aikd.study.folders import kept_file
from aikd.study.layout import HISTORY, MANIFEST, METRICS, MODEL, PREDICTIONS, RUNS, SUMMARY
from aikd.study.load import load_study
from aikd.study.resolve import prepared_folder, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study
from aikd.study.specs import TsneSpec
from aikd.study.targets import ALL, results_of, targets_of
from aikd.study.why import otherwise

ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")
LEVEL = 4
"""Of compression. Predictions are noise for the most part: 6 saves one percent more and takes three times as long."""
Write = Callable[[str, bytes], None]


@dataclass
class _Parcel:
    """What is to be packed: the name of each file in the archive, and its path or content."""

    files: dict[str, Path | bytes] = field(default_factory=dict)

    def facts(self) -> dict[str, Packed]:
        """Hash and size of each file."""
        found = {}
        for name, source in self.files.items():
            if isinstance(source, Path):
                digest, size = file_digest(source), source.stat().st_size
            else:
                digest, size = hashlib.sha256(source).hexdigest(), len(source)
            if size > LARGEST:
                raise UserError(f"{name}: larger than {LARGEST:,} bytes")
            found[name] = Packed(sha256=digest, size=size)
        return found


def pack(
    file: Path,
    results: Path | None,
    data: Path,
    target: Path,
    *,
    models: bool = False,
    all_predictions: bool = True,
    root: Path = Path(),
) -> Contents:
    """Write an archive of a study's finished runs to `target`; returns what is in it.

    The same study and results give the same bytes, on the same machine.

    Args:
        file: of the study.
        results: of the study; None: where the study puts them.
        data: folder of all prepared data, of which only the manifests are taken.
        target: the archive; its ending says which kind.
        models: take the weights, too.
        all_predictions: take the predictions of all runs, not only of those that a figure is drawn from.
        root: the folder from which Snakemake runs.

    Raises:
        UserError: no run is finished, a file of one is damaged or changes meanwhile, the ending is not allowed, or
            something is at `target` already.
    """
    if not target.name.lower().endswith(ENDINGS):
        raise UserError(f"{target}: the ending says the kind; allowed: {', '.join(ENDINGS)}")
    if target.exists():
        raise UserError(f"{target}: exists already, and is not overwritten; remove it, or name another")
    study = load_study(file)
    home, place = results or study.results, str(study.results)
    runs = [run.path for run in queries.runs_of(study)]
    left_out = {run: why for run in runs if (why := unfinished(study, home, run, models))}
    there = [run for run in runs if run not in left_out]
    if not there:
        first = next(iter(left_out.items()), ("", "the study has no runs"))
        raise UserError(f"{home}: no run of the study is finished; the first, {first[0]}: {first[1]}")
    parcel = _Parcel({study_file(place): file})
    parcel.files |= _folders(study)
    parcel.files |= {f"{DATA}/{name}/{MANIFEST}": path for name, path in _manifests(study, data).items()}
    drawn = set(runs if all_predictions else _drawn(study))
    for run in there:
        names = [SUMMARY, HISTORY, *([PREDICTIONS] if run in drawn else []), METRICS]
        names += [MODEL] if models else []
        parcel.files |= {run_file(place, run, name): home / RUNS / run / name for name in names}
    # Of models and predictions that stay behind, too: by them Snakemake sees that they need not be made again.
    outputs = [
        run_file(place, run, n) for run in there for n in (MODEL, SUMMARY, HISTORY, PREDICTIONS, METRICS)
    ]
    outputs += [name for name in parcel.files if name.startswith(f"{DATA}/")]
    parcel.files[RECORDS] = _json(read_records(root, outputs))
    contents = Contents(
        format=FORMAT, study=study.name, results=place, runs=there, wanted=len(runs), left_out=left_out,
        files=parcel.facts(), targets=_lacking(study, left_out),
        no_predictions=[run for run in there if run not in drawn],
    )  # fmt: skip
    _write(parcel, contents, target)
    return contents


def _lacking(study: Study, left_out: Mapping[str, str]) -> dict[str, int]:
    """Targets of a study that show runs, and how many of these are left out."""
    shown = {
        target: {path for name in names for path in results_of(study, name)}
        for target, names in targets_of(study, []).items()
    }
    shown[ALL] = {run.path for run in queries.runs_of(study)}  # the file of all runs has superior models, too
    return {target: len(runs & left_out.keys()) for target, runs in shown.items() if runs}


def unfinished(study: Study, results: Path, run: str, model: bool) -> str | None:
    """Why a run is not finished, or not as the study says; None where it is, and all of its files are whole.

    Args:
        model: whether its weights must be there, too.

    Raises:
        UserError: a file is damaged, or does not belong to the others.
    """
    summary, folder = read_summary(results, run), results / RUNS / run
    if summary is None:
        return "not trained"
    if why := otherwise(study, Run.from_path(run), summary.get("settings")):
        return why
    found = {
        HISTORY: (folder / HISTORY).exists(),
        PREDICTIONS: read_predictions(results, run) is not None,
        METRICS: read_metrics(results, run) is not None,
        MODEL: not model or (folder / MODEL).exists(),
    }
    trained = summary.get("model")  # versions of before noted none
    if model and found[MODEL] and trained and file_digest(folder / MODEL) != trained:
        raise UserError(f"{folder / MODEL}: is not the model that {SUMMARY} beside it is of")
    return next((f"lacks {name}" for name, there in found.items() if not there), None)


def without_manifest(study: Study, data: Path) -> list[str]:
    """Data sets of a study that are not prepared here, so that an archive cannot have their manifests."""
    there = _manifests(study, data)
    return [name for name in study.data if prepared_folder(resolve_data(study, name)) not in there]


def _manifests(study: Study, data: Path) -> dict[str, Path]:
    prepared = [prepared_folder(resolve_data(study, name)) for name in study.data]
    return {name: data / name / MANIFEST for name in prepared if (data / name / MANIFEST).exists()}


def _drawn(study: Study) -> list[str]:
    """Runs whose predictions a figure is drawn from, or the comparison class by class is made of."""
    specs = [queries.spec(study, name) for name in study.figures]
    mapped = [run for spec in specs if isinstance(spec, TsneSpec) for run in spec.runs]
    return [*mapped, *beside.classes(study).runs]


def _folders(study: Study) -> dict[str, bytes]:
    """What the study's folders of images hold: without them a study cannot be read where they are not."""
    entries = [(entry, found) for entry in study.data.values() if entry.folder and (found := entry.scan)]
    return {
        kept_file(str(entry.folder), entry.test_fraction).as_posix(): _json(asdict(found))
        for entry, found in entries
    }


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _write(parcel: _Parcel, contents: Contents, target: Path) -> None:
    with replacing(target) as temporary, _writing(temporary, target.name) as write:
        write(CONTENTS, _json(contents.model_dump(mode="json")))
        for name, source in parcel.files.items():
            content = source.read_bytes() if isinstance(source, Path) else source
            if hashlib.sha256(content).hexdigest() != contents.files[name].sha256:
                raise UserError(f"{name}: changed while it was packed; try again")
            write(name, content)


@contextmanager
def _writing(path: Path, name: str) -> Iterator[Write]:
    """Writes members into an archive; without times, owners and names of the machine, so that equal gives equal."""
    if name.lower().endswith(".zip"):
        with zipfile.ZipFile(path, "w") as zipped:

            def add_zipped(member: str, content: bytes) -> None:
                info = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system, info.external_attr = (
                    3,
                    0o100644 << 16,
                )  # an ordinary file, on whatever system
                zipped.writestr(info, content, compresslevel=LEVEL)

            yield add_zipped
        return
    with path.open("wb") as file:
        stream: Any = file
        if not name.lower().endswith(".tar"):
            stream = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=LEVEL, mtime=0)
        with stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:

            def add(member: str, content: bytes) -> None:
                info = tarfile.TarInfo(member)
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))

            yield add

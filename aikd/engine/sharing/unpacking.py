"""An archive of results back into a project's folder: all of it is found whole before anything is written."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aikd.engine.sharing.contents import (
    CONTENTS,
    RECORDS,
    Contents,
    parse,
    run_file,
    study_file,
)
from aikd.engine.sharing.snakemake_records import write_records
from aikd.engine.sharing.wholeness import Wholeness
from aikd.engine.sources.containers import Container, open_container
from aikd.errors import UserError
from aikd.files import json_object, write_bytes
from aikd.records import file_digest
from aikd.study.layout import MODEL, PREDICTIONS, SUMMARY
from aikd.study.load import named_extensions


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked."""

    contents: Contents
    written: list[str]
    """Files that were not there before."""
    kept: int
    """Number of those that were, byte for byte."""
    extensions: list[str]
    """Files that the study would run, none of which came along."""


def unpack(archive: Path, target: Path) -> Unpacked:
    """Put the results in an archive where they belong in a project's folder.

    All of it is read, compared with its hashes and found whole before the first file is written. Files that are there
    already stay as they are. All that is written gets one and the same time, so that to Snakemake no file is newer
    than another that is made of it.

    Raises:
        UserError: the archive is damaged, a run in it is not whole, it holds what does not belong into such an archive,
            or a file of it is there already with another content; nothing is written then.
        OSError: there is no room or no permission; what is written by then is whole.
    """
    container = open_container(archive)
    contents = read_contents(container, archive)
    missing = _missing(contents, archive, target)
    whole = Wholeness(contents, archive)
    records: dict[str, str] = {}
    extensions: list[str] = []
    for name, content in _verified(container, contents, archive):
        if name == RECORDS:
            records = _texts(content, f"{archive}: {name}")
        elif name == study_file(contents.results):
            extensions = named_extensions(content, f"{archive}: {name}")
        whole.look(name, content)
    whole.finish()
    _check_room(contents, missing, target)
    stamp = time.time_ns()
    for name, content in _verified(container, contents, archive):
        if name in missing:
            write_bytes(target / name, content)
            os.utime(target / name, ns=(stamp, stamp))
    write_records(target, _records(contents, records, missing, target))
    return Unpacked(contents, missing, len(contents.files) - 1 - len(missing), extensions)


def read_contents(container: Container, archive: Path) -> Contents:
    """What an archive says of itself.

    Raises:
        UserError: it is no archive of results, of another format, or damaged.
    """
    where = f"{archive}: {CONTENTS}"
    return parse(json_object(container.read([CONTENTS])[CONTENTS], where), where)


def _texts(content: bytes, where: str) -> dict[str, str]:
    """The JSON of each record: made now, as what can just be read may be too deep to be written later."""
    try:
        records = json_object(content, where)
        return {name: json.dumps(record) for name, record in records.items() if isinstance(record, dict)}
    except RecursionError:
        raise UserError(f"{where}: not readable JSON (nested too deeply)") from None


def _missing(contents: Contents, archive: Path, target: Path) -> list[str]:
    """Names of the files that are not there yet; refuses others than those of the archive."""
    missing, differing = [], []
    for name, facts in contents.files.items():
        path = target / name
        if name == RECORDS:
            continue
        if not os.path.lexists(path):
            missing.append(name)
        elif not path.is_file() or path.stat().st_size != facts.size or file_digest(path) != facts.sha256:
            differing.append(str(path))
    if differing:
        shown = ", ".join(differing[:3]) + ", …" * (len(differing) > 3)
        raise UserError(
            f"{archive}: {len(differing):,} files are there already and differ: {shown}; nothing was unpacked. Remove "
            "them if those of the archive are to take their place, or unpack into another checkout with --to"
        )
    return missing


def _verified(container: Container, contents: Contents, archive: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the archive, of which the hash is the one stated."""
    for name, content in container.files(list(contents.files)):
        facts = contents.files[name]
        if len(content) != facts.size or hashlib.sha256(content).hexdigest() != facts.sha256:
            raise UserError(f"{archive}: {name} is damaged: its SHA-256 is not the one in {CONTENTS}")
        yield name, content


def _check_room(contents: Contents, missing: list[str], target: Path) -> None:
    needed = sum(contents.files[name].size for name in missing)
    there = next(folder for folder in (target.absolute(), *target.absolute().parents) if folder.exists())
    if needed > (free := shutil.disk_usage(there).free):
        raise UserError(
            f"{target}: {needed:,} bytes are to be unpacked, but {free:,} are free; nothing was unpacked"
        )


def _records(contents: Contents, records: dict[str, str], missing: list[str], target: Path) -> dict[str, str]:
    """The records of what was written. Those of files that were there are the project's own, and stay.

    Of files that an archive leaves out, like models, where the summary was written and they are not there either.
    """
    written = set(missing)
    for run in contents.runs:
        if run_file(contents.results, run, SUMMARY) in written:
            absent = (run_file(contents.results, run, name) for name in (MODEL, PREDICTIONS))
            written |= {
                name for name in absent if name not in contents.files and not (target / name).exists()
            }
    return {name: record for name, record in records.items() if name in written}

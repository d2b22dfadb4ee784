"""The published archives: where they are, what they must be, and the receipt of one that is in place."""

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from aikd.errors import UserError
from aikd.files import read_json
from aikd.study.explain import allowed
from aikd.study.fields import Section
from aikd.study.schema import Study

ANEW = "remove it, and download the archive again: what is there already is only verified"
"""What helps where a receipt is damaged."""
SOURCES = Path(__file__).parent / "sources" / "archives.yaml"


class Archive(Section):
    """One published file."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
    urls: Annotated[list[str], Field(min_length=1)]
    """Where it is, in the order to try."""
    size: Annotated[int, Field(ge=1)] | None
    """In bytes."""
    size_from: str
    checksum: Annotated[str, Field(pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$")] | None
    """`md5:…` or `sha256:…`; none: whatever comes first is pinned."""
    checksum_from: str
    """Who publishes or checks it."""


class Source(Section):
    """The archives of one data set."""

    page: str
    terms: str
    terms_from: str
    archives: dict[str, Archive]


@cache
def load_sources() -> dict[str, Source]:
    """All data sets that are published as archives, by name."""
    data = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))
    for source in data.values():
        source["archives"] = {name: {"name": name, **facts} for name, facts in source["archives"].items()}
    return {name: Source.model_validate(source) for name, source in data.items()}


def archives_of(dataset: str) -> list[str]:
    """File names of the archives that a data set consists of; none for one that is not published as archives."""
    source = load_sources().get(dataset)
    return list(source.archives) if source else []


def wanted_from(study: Study, archive: str) -> tuple[str | None, bool]:
    """A study's mirror, and whether it accepts another file in place of an archive."""
    entries = [entry for dataset, entry in study.data.items() if archive in archives_of(dataset)]
    return study.mirror, any(entry.accept_other for entry in entries)


def find_archive(name: str) -> Archive:
    """The archive of that file name.

    Raises:
        UserError: there is none.
    """
    archives = {
        name: archive for source in load_sources().values() for name, archive in source.archives.items()
    }
    if name not in archives:
        allowed("archive", name, archives)
    return archives[name]


@dataclass(frozen=True)
class Receipt:
    """What is known of an archive that is in place; stands beside it as `<name>.json`.

    Equal archives have equal receipts, whenever and from wherever they came: otherwise the same file from another
    mirror would prepare, and so train, everything again.
    """

    name: str
    size: int
    """In bytes."""
    sha256: str
    md5: str | None
    """Only where an MD5 is published."""
    verified: bool
    """False: it is not the published archive, and was accepted all the same."""
    verified_against: str
    """What it was, or should have been, compared with, and who says so."""
    pin: str | None
    """Only where no checksum is published: SHA-256 of the first good file, which all later ones must equal."""


@dataclass(frozen=True)
class Found:
    """What a file turned out to be."""

    size: int
    md5: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.size:,} bytes, md5 {self.md5}, sha256 {self.sha256}"


@dataclass(frozen=True)
class Expected:
    """What an archive must be: as published, or else like the first one that came."""

    archive: Archive
    pin: str | None
    """SHA-256 of the first one."""

    @property
    def checksum(self) -> str | None:
        """As `Archive.checksum`."""
        return self.archive.checksum or (self.pin and f"sha256:{self.pin}")

    def __str__(self) -> str:
        size = f"{self.archive.size:,} bytes" if self.archive.size else "any size"
        return f"{size}, {self.checksum.replace(':', ' ') if self.checksum else 'no checksum is published'}"

    def problem(self, found: Found) -> str | None:
        """Why a file is not the archive, or nothing."""
        kind, _, digest = (self.checksum or "").partition(":")
        if self.archive.size in (None, found.size) and (not kind or getattr(found, kind) == digest):
            return None
        return f"expected {self}; found {found}"

    def receipt(self, found: Found) -> Receipt:
        """The receipt of a file; the first without a published checksum becomes the pin."""
        archive, checksum = self.archive, self.archive.checksum
        return Receipt(
            name=archive.name,
            size=found.size,
            sha256=found.sha256,
            md5=found.md5 if checksum and checksum.startswith("md5:") else None,
            verified=self.problem(found) is None,
            verified_against=f"{checksum} ({archive.checksum_from})" if checksum else "the first download",
            pin=None if checksum else self.pin or found.sha256,
        )


def measure(path: Path) -> Found:
    """Size and hashes of a file."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(block)
            md5.update(block)
            sha256.update(block)
    return Found(size, md5.hexdigest(), sha256.hexdigest())


def in_place(folder: Path, name: str, accept_other: bool) -> Receipt:
    """The receipt of an archive in `folder` that is still, byte for byte, the one that was received.

    Whether it is the published one is seen from its bytes, whatever the receipt says.

    Args:
        accept_other: take an archive although it is not the published one.

    Raises:
        UserError: the archive or its receipt is missing, they do not belong together, or it is not the published one.
    """
    path, note = folder / name, receipt_path(folder / name)
    again = f"`aikd download {name} --study STUDY` gets or verifies it"
    if not path.exists() or not note.exists():
        raise UserError(f"{path if note.exists() else note}: missing; {again}")
    receipt = read_receipt(note)
    found = measure(path)
    if found.sha256 != receipt.sha256:
        raise UserError(f"{path}: found sha256 {found.sha256}, its receipt says {receipt.sha256}; {again}")
    problem = Expected(find_archive(name), receipt.pin).problem(found)
    if problem and not accept_other:
        raise UserError(
            f"{path}: not the published archive: {problem}.\nRemove it and {note} to have it downloaded anew; "
            "or, to use it although it is another, set accept_other: results will say so."
        )
    return replace(receipt, verified=problem is None)


def read_receipt(note: Path) -> Receipt:
    """A receipt.

    Raises:
        UserError: it is damaged.
    """
    try:
        found = read_json(note)
        return Receipt(**{field.name: found[field.name] for field in fields(Receipt)})
    except UserError as error:
        raise UserError(f"{error}; {ANEW}") from None
    except KeyError as error:
        raise UserError(f"{note}: not a receipt, as it lacks {error}; {ANEW}") from None


def receipt_path(archive: Path) -> Path:
    """Where the receipt of an archive stands."""
    return archive.with_name(f"{archive.name}.json")

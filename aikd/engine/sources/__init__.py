"""Where images come from: published archives, a folder of one's own, an extension, or a library.

Only what stands in an archive whose hash was compared with its receipt is read, and nothing is ever unpacked.
"""

from pathlib import Path
from typing import Any, Literal

from aikd.engine.archives import archives_of, in_place
from aikd.engine.locks import exclusive
from aikd.engine.store import begin, tidy
from aikd.errors import UserError
from aikd.files import read_json
from aikd.messages import say
from aikd.study import extensions
from aikd.study.explain import explaining
from aikd.study.fields import Name, Section
from aikd.study.folders import scan
from aikd.study.layout import MANIFEST
from aikd.study.resolve import prepared_folder


class _Folder(Section):
    """A source that is a folder of one's own."""

    folder: str
    test_fraction: float
    split_seed: int
    fingerprint: str


class _Settings(Section):
    """What `resolve_data` gives: the shape of it."""

    name: Name
    source: dict[str, Any]
    counts: dict[str, int | None]
    sides: dict[Literal["train", "test"], int | None]


def prepare(settings: dict[str, Any], data: Path, workers: int | None = None) -> dict[str, Any]:
    """Prepare a data set in its own folder, `prepared_folder`; returns its manifest.

    What was prepared there before stays good if this fails; unless it came of other archives than are there now.

    Args:
        settings: what `aikd settings NAME` prints (`resolve_data`).
        data: folder of all data; the archives are in its `downloads/`.
        workers: images decoded at once; none: as many as there are cores.

    Raises:
        UserError: an archive is missing, damaged, not the one of its receipt or not the published one, an image cannot
            be decoded, the counts are not those expected, the folder of images has changed, or another process
            prepares the same.
    """
    if missing := [key for key in ("name", "source", "counts", "sides") if key not in settings]:
        raise UserError(f"--settings: lacks {', '.join(missing)}; `aikd settings NAME` prints what is meant")
    with explaining("--settings", _Settings):
        _Settings.model_validate(settings)
    if "folder" in settings["source"]:
        with explaining("--settings: source", _Folder):
            _Folder.model_validate(settings["source"])
    name = settings["name"]
    extensions.use(settings["source"])
    known = {"folder", "extension"} & settings["source"].keys() or name == "digits" or archives_of(name)
    if not known:
        raise UserError(
            f"--settings: name is {name!r}, which is no published data set, and source names no folder"
        )
    folder = data / prepared_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder) as alone:
        if alone:
            tidy(folder)
        if "folder" in settings["source"]:
            return _from_folder(settings, folder, workers)
        if "extension" in settings["source"]:
            from aikd.engine.sources import own

            return own.prepare(settings, folder)
        if name == "digits":
            from aikd.engine.sources import digits

            return digits.prepare(folder)
        return _from_archives(settings, data / "downloads", folder, workers)


def _from_archives(
    settings: dict[str, Any], downloads: Path, target: Path, workers: int | None
) -> dict[str, Any]:
    from aikd.engine.sources.containers import open_container
    from aikd.engine.sources.layouts import LAYOUTS
    from aikd.engine.sources.listing import check_counts
    from aikd.engine.sources.packing import pack

    name, accept_other = settings["name"], settings["source"].get("accept_other", False)
    receipts = {archive: in_place(downloads, archive, accept_other) for archive in archives_of(name)}
    source = {
        "archives": {a: {"sha256": r.sha256, "verified": r.verified} for a, r in receipts.items()},
    }
    if (target / MANIFEST).exists() and read_json(target / MANIFEST, "delete it").get("source") != source:
        begin(target)
    if name == "cifar100":
        return _cifar100(settings, downloads, target, source)
    layout = LAYOUTS[name]
    images = open_container(downloads / layout.images)
    extras = {
        extra: open_container(downloads / extra)
        if extra.endswith(".tar")
        else (downloads / extra).read_bytes()
        for extra in layout.extras
    }
    listing = layout.read(images, extras)
    check_counts(listing, name, **settings["counts"])
    files = images.files([entry.path for entry in (*listing.train, *listing.test)])
    return pack(
        target, listing, files,
        name=name, source=source, sides=settings["sides"], cut_bottom=layout.cut_bottom, workers=workers,
    )  # fmt: skip


def _cifar100(
    settings: dict[str, Any], downloads: Path, target: Path, source: dict[str, Any]
) -> dict[str, Any]:
    from aikd.engine.sources import cifar100
    from aikd.engine.sources.containers import open_container
    from aikd.engine.sources.listing import check_labels
    from aikd.engine.store import write_prepared

    archive = open_container(downloads / cifar100.ARCHIVE)
    class_names, splits = cifar100.read_cifar100(archive)
    counts = settings["counts"]
    train, test = (splits[split][1].tolist() for split in ("train", "test"))
    check_labels(
        "cifar100", class_names, train, test, expected=(counts["classes"], counts["train"], counts["test"])
    )
    return write_prepared(target, "cifar100", class_names, splits, source)


def _from_folder(settings: dict[str, Any], target: Path, workers: int | None) -> dict[str, Any]:
    from aikd.engine.sources.folder import folder_files, list_folder
    from aikd.engine.sources.packing import pack

    said = settings["source"]
    folder = Path(said["folder"])
    found = scan(folder, said["test_fraction"])
    if found.fingerprint != said["fingerprint"]:
        raise UserError(
            f"{folder}: images came, went or changed in size since the study was read; start again"
        )
    if found.remark:
        say(f"{folder}: {found.remark}")
    listing = list_folder(folder, said["test_fraction"], said["split_seed"])
    files = folder_files(folder, [entry.path for entry in (*listing.train, *listing.test)])
    # Not the folder's own path: where images lie on this machine is nobody else's business.
    source = {"images": "a folder", "test_fraction": said["test_fraction"], "split_seed": said["split_seed"]}
    return pack(
        target, listing, files, name=settings["name"], source=source, sides=settings["sides"], workers=workers
    )

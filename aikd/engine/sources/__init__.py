"""Where images come from: published archives, a folder of one's own, or a library.

Only what stands in an archive whose hash was compared with its receipt is read, and nothing is ever unpacked.
"""

from pathlib import Path
from typing import Any

from aikd.engine.archives import archives_of, in_place
from aikd.errors import UserError


def prepare(settings: dict[str, Any], data: Path, workers: int | None = None) -> dict[str, Any]:
    """Prepare a data set in `data/<name>`; returns its manifest.

    Args:
        settings: what `aikd settings NAME` prints (`resolve_data`).
        data: folder of all data; the archives are in its `downloads/`.
        workers: images decoded at once; none: as many as there are cores.

    Raises:
        UserError: an archive is missing, damaged or not the one of its receipt, an image cannot be decoded, or the
            counts are not those expected.
    """
    if missing := [key for key in ("name", "source", "counts", "sides") if key not in settings]:
        raise UserError(f"--settings: lacks {', '.join(missing)}; `aikd settings NAME` prints what is meant")
    name = settings["name"]
    if "folder" in settings["source"]:
        return _from_folder(settings, data / name, workers)
    if name == "digits":
        from aikd.engine.sources import digits

        return digits.prepare(data / name)
    if not archives_of(name):
        raise UserError(f"--settings: name is {name!r}, of which no source is known")
    return _from_archives(settings, data, workers)


def _from_archives(settings: dict[str, Any], data: Path, workers: int | None) -> dict[str, Any]:
    from aikd.engine.sources.containers import open_container
    from aikd.engine.sources.layouts import LAYOUTS
    from aikd.engine.sources.listing import check_counts
    from aikd.engine.sources.packing import pack

    name, downloads = settings["name"], data / "downloads"
    receipts = {archive: in_place(downloads, archive) for archive in archives_of(name)}
    source = {
        "archives": {a: {"sha256": r.sha256, "verified": r.verified} for a, r in receipts.items()},
    }
    if name == "cifar100":
        return _cifar100(settings, data, source)
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
        data / name, listing, files,
        name=name, source=source, sides=settings["sides"], cut_bottom=layout.cut_bottom, workers=workers,
    )  # fmt: skip


def _cifar100(settings: dict[str, Any], data: Path, source: dict[str, Any]) -> dict[str, Any]:
    from aikd.engine.sources import cifar100
    from aikd.engine.sources.containers import open_container
    from aikd.engine.sources.listing import check_labels
    from aikd.engine.store import write_prepared

    archive = open_container(data / "downloads" / cifar100.ARCHIVE)
    class_names, splits = cifar100.read_cifar100(archive)
    counts = settings["counts"]
    train, test = (splits[split][1].tolist() for split in ("train", "test"))
    check_labels(
        "cifar100", class_names, train, test, expected=(counts["classes"], counts["train"], counts["test"])
    )
    return write_prepared(data / "cifar100", "cifar100", class_names, splits, source)


def _from_folder(settings: dict[str, Any], target: Path, workers: int | None) -> dict[str, Any]:
    from aikd.engine.sources.folder import folder_files, list_folder
    from aikd.engine.sources.packing import pack

    said = settings["source"]
    folder = Path(said["folder"])
    listing = list_folder(folder, said["test_fraction"], said["split_seed"])
    files = folder_files(folder, [entry.path for entry in (*listing.train, *listing.test)])
    # Not the folder's own path: a data set that was moved is still the same, and its hashes say so.
    source = {"images": "a folder", "test_fraction": said["test_fraction"], "split_seed": said["split_seed"]}
    return pack(
        target, listing, files, name=settings["name"], source=source, sides=settings["sides"], workers=workers
    )

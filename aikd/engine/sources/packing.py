"""Published image files → the packed images, index and labels of a prepared data set."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aikd.engine.sources.decoding import Decoded, decode, pixel_count, quiet
from aikd.engine.sources.listing import Entry, Listing
from aikd.engine.store import SPLITS, Moments, Split, begin, saving, write_manifest
from aikd.errors import UserError
from aikd.files import replacing
from aikd.messages import say

IN_FLIGHT = 400 * 2**20
"""Bytes that images may take between the archive and the packed file; only a single larger one may take more, and the
last that was written is there until the next one is, as it is still hashed."""
PER_PIXEL = 12
"""Bytes for which decoding one pixel can ask: Pillow keeps four, a progressive JPEG's coefficients up to eight."""
NAMED = 1000
"""Converted images of a kind that the manifest names."""
EVERY = 5.0
"""Seconds between two lines of progress."""

Place = tuple[Split, int]
"""A split, and a position in its list."""


def pack(
    folder: Path,
    listing: Listing,
    files: Iterator[tuple[str, bytes]],
    *,
    name: str,
    source: dict[str, Any],
    sides: dict[Split, int | None],
    cut_bottom: int = 0,
    workers: int | None = None,
) -> dict[str, Any]:
    """Decode all listed images and write them to `folder` as `aikd.engine.store` reads them.

    Images are packed as they come, but in the order of the list where all of a split have one size: together they
    are one array then. Equal files in equal order give equal bytes, whatever the number of workers.

    Args:
        files: each listed image once, by its path, and its content.
        name: of the data set.
        source: where the images come from, for the manifest.
        sides: of each split the short side, in pixels, to which larger images are reduced; none: never.
        cut_bottom: rows to cut off the bottom of every image, before that.
        workers: threads that decode; none: one for each core that may be used.

    Returns:
        The manifest.

    Raises:
        UserError: an image is damaged, missing or listed twice, or a split is empty; `folder` is as before then.
    """
    entries: dict[Split, list[Entry]] = {"train": listing.train, "test": listing.test}
    places = _places(name, entries)
    progress = _Progress(name, len(places))
    with ExitStack() as stack:
        blobs = {}
        for split in SPLITS:
            temporary = stack.enter_context(replacing(folder / f"{split}_images.bin"))
            blobs[split] = stack.enter_context(_Blob(temporary, len(entries[split])))
        stack.enter_context(quiet())
        images = stack.enter_context(closing(_decoded(files, places, sides, cut_bottom, workers or _cores())))
        moments, conversions = _write(blobs, images, progress)
        if places:
            first = next(iter(places))
            raise UserError(f"{name}: {len(places):,} listed images did not come, the first is {first}")
        arrays = {f"{split}_images.bin": blob.finish() for split, blob in blobs.items()}
        for split, blob in blobs.items():
            labels = np.array([entry.label for entry in entries[split]], np.int64)
            for kind, array in (("index", blob.index), ("labels", labels)):
                path = folder / f"{split}_{kind}.npy"
                arrays[path.name] = stack.enter_context(saving(path, array))
        begin(folder)
    counts = {split: len(entries[split]) for split in SPLITS}
    return write_manifest(folder, name, listing.class_names, counts, moments, source, arrays, conversions)


def _places(name: str, entries: dict[Split, list[Entry]]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for split in SPLITS:
        if not entries[split]:
            raise UserError(f"{name}: the list of {split} images is empty")
        for position, entry in enumerate(entries[split]):
            if entry.path in places:
                raise UserError(f"{name}: {entry.path} is listed twice")
            places[entry.path] = split, position
    return places


def _decoded(
    files: Iterator[tuple[str, bytes]],
    places: dict[str, Place],
    sides: dict[Split, int | None],
    cut_bottom: int,
    workers: int,
) -> Generator[tuple[str, Place, Decoded]]:
    """The images in the order of their files, which are taken out of `places`; few of them are in memory at once.

    Threads serve: Pillow lets go of Python's lock while it decodes and resizes.
    """
    waiting: deque[tuple[str, Place, int, Future[Decoded]]] = deque()
    room = IN_FLIGHT
    pool = ThreadPoolExecutor(workers)
    try:
        for path, data in files:
            cost = len(data) + PER_PIXEL * pixel_count(path, data)
            while waiting and (room < cost or len(waiting) >= 4 * workers):
                first, place, held, future = waiting.popleft()
                yield first, place, future.result()
                del future  # it holds the image, too
                room += held
            place = places.pop(path)
            job = pool.submit(decode, path, data, short_side=sides[place[0]], cut_bottom=cut_bottom)
            waiting.append((path, place, cost, job))
            room -= cost
        while waiting:
            first, place, _, future = waiting.popleft()
            yield first, place, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Blob:
    """The images of one split, one after the other in one file."""

    def __init__(self, path: Path, count: int) -> None:
        self.path, self.file = path, path.open("wb")
        self.size, self.digest = 0, hashlib.sha256()
        # Hashing takes longer than writing, and neither needs Python's lock.
        self.hasher = ThreadPoolExecutor(1)
        self.hashed: Future[None] | None = None
        self.index = np.zeros((count, 3), np.int64)
        """Offset in bytes, height and width of each image, in the order of the list."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.hasher.shutdown()

    def add(self, position: int, pixels: NDArray[np.uint8]) -> None:
        """Write the image of that position in the list, [H, W, 3]."""
        self.index[position] = self.size, *pixels.shape[:2]
        if self.hashed:
            self.hashed.result()
        self.hashed = self.hasher.submit(self.digest.update, pixels.data)
        self.file.write(pixels.data)
        self.size += pixels.nbytes

    def finish(self) -> dict[str, Any]:
        """Close the file, in the order of the list if all images have one size; returns what `Facts` says."""
        self.file.close()
        self.hasher.shutdown()
        if (self.index[:, 1:] == self.index[0, 1:]).all() and (np.diff(self.index[:, 0]) < 0).any():
            self._sort()
        return {"shape": [self.size], "dtype": "uint8", "sha256": self.digest.hexdigest()}

    def _sort(self) -> None:
        with self.path.open("rb") as scattered:
            self.path.unlink()
            with _Blob(self.path, len(self.index)) as ordered:
                for position, (offset, height, width) in enumerate(self.index.tolist()):
                    scattered.seek(offset)
                    image = np.frombuffer(scattered.read(3 * height * width), np.uint8)
                    ordered.add(position, image.reshape(height, width, 3))
        self.index, self.digest = ordered.index, ordered.digest


class _Progress:
    """A line every few seconds, and one at the end."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.done, self.last = name, total, 0, time.monotonic()

    def step(self) -> None:
        """One more image is done."""
        self.done += 1
        if time.monotonic() - self.last >= EVERY or self.done == self.total:
            self.last = time.monotonic()
            say(f"{self.name}: {self.done:,} of {self.total:,} images")


def _write(
    blobs: dict[Split, _Blob], images: Iterator[tuple[str, Place, Decoded]], progress: _Progress
) -> tuple[Moments, dict[str, Any]]:
    """Write the images; returns the moments of the training images, and the conversions for the manifest."""
    moments, conversions = Moments(3), dict[str, dict[str, Any]]()
    for path, (split, position), image in images:
        blobs[split].add(position, image.pixels)
        if split == "train":
            moments.counts += image.histogram
        if image.conversion:
            noted = conversions.setdefault(image.conversion, {"count": 0, "first": []})
            noted["count"] += 1
            if noted["count"] <= NAMED:
                # A name need not be text; the manifest is.
                noted["first"].append(path.encode(errors="backslashreplace").decode())
        progress.step()
        del image  # it may be large, and so may be the next
    return moments, dict(sorted(conversions.items()))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # a cluster grants fewer than there are
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Packing a listed set of image files, against a slow loop that does it one image after the other."""

import hashlib
import io
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import Resize

from aikd.engine.sources import packing
from aikd.engine.sources.decoding import Decoded, decode
from aikd.engine.sources.listing import Entry, Listing
from aikd.engine.sources.packing import pack
from aikd.engine.store import Packed, Prepared, Split
from aikd.errors import UserError

Files = list[tuple[str, bytes]]
RNG = np.random.default_rng(0)
SPLITS: tuple[Split, ...] = ("train", "test")
NO_SIDES: dict[Split, int | None] = {"train": None, "test": None}


def encode(image: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def noise(height: int, width: int, *channels: int) -> Image.Image:
    return Image.fromarray(RNG.integers(256, size=(height, width, *channels), dtype=np.uint8))


def mixed() -> tuple[Listing, Files]:
    """Images of many sizes and kinds, in another order than that of the list."""
    files, entries = [], []
    for i in range(40):
        height, width = (int(side) for side in RNG.integers(10, 50, size=2))
        if i % 5:
            name, data = f"{i}.png", encode(noise(height, width, 3))
        else:
            name, data = f"{i}.jpg", encode(noise(height, width), "JPEG" if i % 2 else "PNG")
        files.append((name, data))
        entries.append(Entry(name, i % 3))
    order = RNG.permutation(len(files))
    return Listing(["a", "b", "c"], entries[:28], entries[28:]), [files[i] for i in order]


def uniform(count: int = 20) -> tuple[Listing, Files]:
    """Images of one size, in another order than that of the list."""
    files = [(f"{i}.png", encode(noise(5, 4, 3))) for i in range(count)]
    entries = [Entry(name, i % 2) for i, (name, _) in enumerate(files)]
    order = RNG.permutation(count)
    return Listing(["a", "b"], entries[:-6], entries[-6:]), [files[i] for i in order]


def run(folder: Path, listing: Listing, files: Any, **options: Any) -> dict[str, Any]:
    options = {"name": "birds", "source": {}, "sides": NO_SIDES, "workers": 2} | options
    return pack(folder, listing, iter(files), **options)


def expected(files: Files, side: int | None, cut: int = 0) -> dict[str, NDArray[np.uint8]]:
    """What the images should be, decoded one by one."""
    images = {}
    for name, data in files:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        image = image.crop((0, 0, image.width, image.height - cut))
        images[name] = np.array(image if side is None or min(image.size) <= side else Resize(side)(image))
    return images


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("sides", "cut"), [(NO_SIDES, 0), ({"train": 20, "test": None}, 0), ({"train": 15, "test": 30}, 4)]
)
def test_packed_images_are_those_of_the_slow_loop(
    tmp_path: Path, sides: dict[Split, int | None], cut: int
) -> None:
    listing, files = mixed()
    manifest = run(tmp_path, listing, files, sides=sides, cut_bottom=cut)
    prepared = Prepared.open(tmp_path)
    for split in SPLITS:
        entries = getattr(listing, split)
        images, labels, wanted = (
            prepared.images(split),
            prepared.labels(split),
            expected(files, sides[split], cut),
        )
        assert isinstance(images, Packed)
        assert (len(images), len(labels), manifest[split]) == (len(entries),) * 3
        for i, entry in enumerate(entries):
            np.testing.assert_array_equal(images[i], wanted[entry.path])
            assert images.sizes[i].tolist() == list(wanted[entry.path].shape[:2])
            assert labels[i] == entry.label


def test_images_lie_one_after_the_other_as_they_came(tmp_path: Path) -> None:
    listing, files = mixed()
    manifest = run(tmp_path, listing, files)
    images = expected(files, None)
    for split in SPLITS:
        own = {entry.path for entry in getattr(listing, split)}
        wanted = b"".join(images[name].tobytes() for name, _ in files if name in own)
        assert (tmp_path / f"{split}_images.bin").read_bytes() == wanted
        assert manifest["arrays"][f"{split}_images.bin"]["sha256"] == hashlib.sha256(wanted).hexdigest()


def test_mean_and_std_are_those_of_the_training_images_as_stored(tmp_path: Path) -> None:
    listing, files = mixed()
    manifest = run(tmp_path, listing, files, sides={"train": 20, "test": None})
    stored = expected(files, 20)
    train = np.concatenate([stored[entry.path].reshape(-1, 3) / 255 for entry in listing.train])
    assert manifest["mean"] == pytest.approx(train.mean(0), abs=6e-7)
    assert manifest["std"] == pytest.approx(train.std(0), abs=6e-7)


def test_images_of_one_size_are_one_array_in_the_order_of_the_list(tmp_path: Path) -> None:
    listing, files = uniform()
    run(tmp_path / "1", listing, files)
    wanted, prepared = expected(files, None), Prepared.open(tmp_path / "1")
    for split in SPLITS:
        images, entries = prepared.images(split), getattr(listing, split)
        assert isinstance(images, np.memmap)
        assert images.shape == (len(entries), 3, 5, 4)
        for image, entry in zip(images, entries, strict=True):
            np.testing.assert_array_equal(image.transpose(1, 2, 0), wanted[entry.path])
    run(tmp_path / "2", listing, files[::-1])
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_equal_files_give_equal_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    listing, files = mixed()
    for workers in (1, 2, 7, None):
        run(tmp_path / str(workers), listing, files, workers=workers)
    first, *others = (contents(folder) for folder in tmp_path.iterdir())
    assert len(first) == 7
    assert [other == first for other in others] == [True] * 3


def test_manifest_tells_where_images_come_from_and_what_was_converted(tmp_path: Path) -> None:
    listing, files = mixed()
    source = {"archive": "x.tar", "sha256": "0" * 64}
    manifest = run(tmp_path, listing, files, name="finches", source=source)
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["name"], manifest["class_names"], manifest["classes"]) == ("finches", ["a", "b", "c"], 3)
    assert manifest["source"] == source
    by_kind = {
        kind: [name for name, data in files if name.endswith(".jpg") and (b"JFIF" in data) is jpeg]
        for kind, jpeg in (("PNG named .jpg, grey", False), ("grey", True))
    }
    assert manifest["conversions"] == {
        kind: {"count": len(names), "first": names} for kind, names in by_kind.items()
    }
    assert list(manifest["conversions"]) == sorted(by_kind)


def test_of_many_converted_images_the_first_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "NAMED", 2)
    files = [(name, encode(noise(3, 3))) for name in ("c\udce9.png", "b.png", "a.png")]
    listing = Listing(["x"], [Entry(name, 0) for name, _ in files[:2]], [Entry("a.png", 0)])
    manifest = run(tmp_path, listing, files)
    assert manifest["conversions"] == {"grey": {"count": 3, "first": ["c\\udce9.png", "b.png"]}}


# Bounds


class Counted:
    """Files that count how many of them are on their way."""

    def __init__(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.written = files, 0
        self.in_flight: list[int] = []
        add = packing._Blob.add

        def counted(blob: Any, *arguments: Any) -> None:
            self.written += 1
            add(blob, *arguments)

        monkeypatch.setattr(packing._Blob, "add", counted)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for drawn, file in enumerate(self.files, 1):
            self.in_flight.append(drawn - self.written)
            yield file


@pytest.mark.parametrize("workers", [1, 3])
def test_few_images_are_in_memory_at_once(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(f"{i}.png", encode(noise(3 + i % 3, 3, 3))) for i in range(100)]
    listing = Listing(
        ["x"], [Entry(name, 0) for name, _ in files[4:]], [Entry(name, 0) for name, _ in files[:4]]
    )
    counted = Counted(files, monkeypatch)
    run(tmp_path, listing, counted, workers=workers)
    assert counted.written == 100
    assert max(counted.in_flight) <= 4 * workers + 1


@pytest.mark.parametrize(("room", "most"), [(0, 2), (10_000, 2), (20_000, 4)])
def test_large_images_wait_until_there_is_room(
    tmp_path: Path, room: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        (f"{i}.png", encode(noise(20, 20, 3))) for i in range(30)
    ]  # 4,800 bytes each, and the file's 1,300
    listing = Listing(["x"], [Entry(name, 0) for name, _ in files[1:]], [Entry("0.png", 0)])
    counted = Counted(files, monkeypatch)
    monkeypatch.setattr(packing, "IN_FLIGHT", room)
    run(tmp_path, listing, counted, workers=4)
    assert counted.written == 30
    # One more has been taken from the archive and waits; and it stays as many, until the last.
    assert max(counted.in_flight) == counted.in_flight[-1] == most
    assert len(Prepared.open(tmp_path).images("train")) == 29


# Failures


def fails(
    folder: Path, error: type[BaseException], message: str | None, *arguments: Any, **options: Any
) -> None:
    """It does, ends its threads, and leaves the folder as it was."""
    before, threads = contents(folder) if folder.exists() else {}, threading.enumerate()
    with pytest.raises(error, match=message) as caught:  # as a debugger would, it keeps everything alive
        run(folder, *arguments, **options)
    assert caught.tb
    assert (contents(folder) if folder.exists() else {}) == before
    assert threading.enumerate() == threads


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda _: b"", lambda _: b"text"])
@pytest.mark.parametrize("position", [0, 20, 39])
def test_a_damaged_image_is_named_and_nothing_is_left(
    tmp_path: Path, position: int, damage: Callable[[bytes], bytes]
) -> None:
    listing, files = mixed()
    name, data = files[position]
    files[position] = (name, damage(data))
    fails(tmp_path / "new", UserError, rf"^{name}: ", listing, files)
    run(tmp_path / "old", *uniform())
    fails(tmp_path / "old", UserError, rf"^{name}: ", listing, files)


def test_images_that_do_not_come_are_reported(tmp_path: Path) -> None:
    listing, files = mixed()
    message = rf"birds: 1 listed images did not come, the first is {files[-1][0]}"
    fails(tmp_path, UserError, message, listing, files[:-1])


@pytest.mark.parametrize("split", SPLITS)
def test_an_image_listed_twice_is_refused(tmp_path: Path, split: Split) -> None:
    listing, files = mixed()
    twice = listing.train[3]
    getattr(listing, split).append(twice)
    fails(tmp_path, UserError, rf"birds: {twice.path} is listed twice", listing, files)


@pytest.mark.parametrize("split", SPLITS)
def test_an_empty_list_is_refused(tmp_path: Path, split: Split) -> None:
    listing, files = mixed()
    getattr(listing, split).clear()
    fails(tmp_path, UserError, f"birds: the list of {split} images is empty", listing, files)


def test_ctrl_c_while_files_are_read_leaves_nothing(tmp_path: Path) -> None:
    listing, files = mixed()

    def interrupted() -> Iterator[tuple[str, bytes]]:
        yield from files[:30]
        signal.raise_signal(signal.SIGINT)
        yield from files[30:]

    fails(tmp_path, KeyboardInterrupt, None, listing, interrupted())


def test_ctrl_c_while_images_are_decoded_starts_no_more_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing, files = mixed()
    begun = []

    def slow(path: str, data: bytes, **options: Any) -> Decoded:
        begun.append(path)
        if len(begun) == 10:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            threading.Event().wait(0.2)
        return decode(path, data, **options)

    monkeypatch.setattr(packing, "decode", slow)
    fails(tmp_path, KeyboardInterrupt, None, listing, files, workers=1)
    assert len(begun) == 10


def test_a_disk_that_fills_up_with_images_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = packing._Blob.add

    def full(blob: Any, position: int, pixels: NDArray[np.uint8]) -> None:
        if position == 9:
            raise OSError("no space left")
        add(blob, position, pixels)

    monkeypatch.setattr(packing._Blob, "add", full)
    fails(tmp_path, OSError, "no space left", *mixed())


def test_a_full_disk_at_the_labels_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    run(tmp_path, *uniform())
    monkeypatch.setattr(packing, "saving", full)
    fails(tmp_path, OSError, "no space left", *uniform(9))
    assert len(Prepared.open(tmp_path).labels("train")) == len(uniform()[0].train)


def test_a_preparation_that_ends_among_its_files_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest of before stays, as Snakemake would bring it back anyway, but nobody reads what it describes."""

    def full(*_: Any) -> None:
        raise OSError("no space left")

    run(tmp_path, *uniform())
    with monkeypatch.context() as patch:
        patch.setattr(packing, "write_manifest", full)
        with pytest.raises(OSError, match="no space left"):
            run(tmp_path, *uniform(9))
    assert (tmp_path / "manifest.json").exists()
    with pytest.raises(
        UserError, match="the last preparation did not come to its end; prepare the data again"
    ):
        Prepared.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".unfinished"]
    run(tmp_path, *uniform(9))
    assert len(Prepared.open(tmp_path).labels("train")) == len(uniform(9)[0].train)


# Progress


def test_progress_is_a_plain_line_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing, files = uniform(30)
    run(tmp_path, listing, files)
    output = capsys.readouterr()
    assert (output.out, output.err.splitlines()[-1]) == ("", "birds: 30 of 30 images")
    monkeypatch.setattr(packing, "EVERY", 0)
    run(tmp_path, listing, files)
    assert capsys.readouterr().err.splitlines() == [f"birds: {i + 1} of 30 images" for i in range(30)]


def test_pillows_warnings_do_not_get_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
    run(tmp_path, *uniform())
    assert not recwarn.list


@pytest.mark.skipif(
    "AIKD_TEST_DATA" not in os.environ, reason="AIKD_TEST_DATA names no folder of real archives"
)
def test_a_real_archive_is_packed_as_pillow_reads_it(tmp_path: Path) -> None:
    from aikd.engine.sources.containers import open_container

    container = open_container(Path(os.environ["AIKD_TEST_DATA"], "CUB_200_2011-8classes.tgz"))
    names = sorted(name for name in container.names() if name.endswith(".jpg"))
    listing = Listing(
        ["bird"], [Entry(name, 0) for name in names[::2]], [Entry(name, 0) for name in names[1::2]]
    )
    sides: dict[Split, int | None] = {"train": 384, "test": None}
    run(tmp_path, listing, container.files(names), sides=sides)
    files, prepared = list(container.files(names)), Prepared.open(tmp_path)
    for split in SPLITS:
        images, wanted = prepared.images(split), expected(files, sides[split])
        for i, entry in enumerate(getattr(listing, split)):
            np.testing.assert_array_equal(images[i], wanted[entry.path])
